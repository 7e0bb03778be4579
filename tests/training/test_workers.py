import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
CASES = ["naive", "confident", "unbalanced", "one left over", "micro", "buffer", "selected", "dropout", "product"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of one process alone, and of two that train together over gloo."""
    folder = tmp_path_factory.mktemp("workers")
    script = Path(__file__).with_name("worker_process.py")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(size), folder], env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank, size in [(0, 1), (0, 2), (1, 2)]
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], "\n".join(errors)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_workers_learn_what_one_learns(results: Path, case: str) -> None:
    alone, together = (load_file(results / f"{case}-{mark}.safetensors") for mark in ("1-0", "2-0"))
    for name, weights in alone.items():
        torch.testing.assert_close(weights, together[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_both_workers_hold_the_same_weights_and_curve(results: Path, case: str) -> None:
    first, second = (load_file(results / f"{case}-{mark}.safetensors") for mark in ("2-0", "2-1"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (results / f"{case}-2-0.json").read_text() == (results / f"{case}-2-1.json").read_text()


@pytest.mark.parametrize("case", CASES)
def test_two_workers_report_the_curve_of_one(results: Path, case: str) -> None:
    alone, together = (json.loads((results / f"{case}-{mark}.json").read_text()) for mark in ("1-0", "2-0"))
    assert len(alone) == len(together)
    for row, other in zip(alone, together, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


def test_a_number_lost_on_one_worker_stops_both_at_the_same_step(results: Path) -> None:
    assert (results / "diverged-2-0.json").read_text() == (results / "diverged-2-1.json").read_text()
