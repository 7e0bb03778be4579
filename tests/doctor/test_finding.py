"""What is shown of what was found."""

import pytest
from rich.console import Console

from w2s_ray.doctor.finding import Finding, counted, ok, placed, problem, to_json, to_table, together, warning

FOUND = [
    *placed([ok("disk", "9 GB free")], "node 1"),
    *placed([problem("clock", "wrong", "mend it")], "node 1"),
    *placed([problem("disk", "full", "free some")], "node 2"),
    *placed([ok("disk", "9 GB free")], "node 3"),
    *placed([warning("clock", "late", "look at it")], "node 2"),
]


def test_a_table_goes_check_by_check_the_worst_first_and_says_once_what_is_well() -> None:
    rows = [(one.check, one.where, one.state) for one in together(FOUND)]
    assert rows == [
        ("disk", "node 2", "problem"),
        ("disk", "2 places", "ok"),
        ("clock", "node 1", "problem"),
        ("clock", "node 2", "warning"),
    ]
    assert counted(FOUND) == "2 problems, 1 warning"


def test_every_mend_is_shown() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(to_table(FOUND))
    shown = console.export_text()
    assert all(one.mend in shown for one in FOUND)


def test_json_keeps_every_finding_and_reads_back() -> None:
    data = to_json(FOUND)
    assert data["ok"] is False
    assert [Finding(**one) for one in data["findings"]] == FOUND


def test_a_finding_repeats_no_secret_of_an_address_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-password")
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    said = problem("any", "http://me:canary-url@host says canary-password", "not hf_canary")
    assert "canary" not in f"{said.says} {said.mend}"
