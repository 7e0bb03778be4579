"""No check hides the next one."""

import os
from pathlib import Path

from w2s_ray.doctor.bounded import run_checks
from w2s_ray.doctor.finding import Finding, ok


def well(subject: object) -> list[Finding]:
    return [ok("well", "it is")]


def breaks(subject: object) -> list[Finding]:
    return [ok("never", str(1 / 0))]


def test_a_check_that_raises_is_a_finding_and_the_next_is_made() -> None:
    broken, fine = run_checks((breaks, well), None)
    assert (broken.check, broken.state) == ("breaks", "problem")
    assert "ZeroDivisionError" in broken.says
    assert fine.state == "ok"


def test_a_check_that_hangs_is_a_finding_and_the_next_is_made(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "silent")

    def hangs(subject: Path) -> list[Finding]:
        """Whether a file can be read."""
        return [ok("never", subject.read_text())]  # nobody ever writes

    hung, fine = run_checks((hangs, well), tmp_path / "silent", seconds=0.2)
    os.close(os.open(tmp_path / "silent", os.O_WRONLY))  # lets the thread go
    assert (hung.check, hung.state) == ("hangs", "problem")
    assert hung.says == "no answer within 0.2 s (Whether a file can be read)"
    assert fine.state == "ok"
