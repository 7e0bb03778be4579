"""What is compared between nodes: versions, and clocks. No clock is set here: the offset is computed on given times."""

import pytest

from w2s_ray.doctor.cluster import clock, compared, offset

MINE = {"python": "3.11.7", "torch": "2.13.0+cpu"}


def test_another_version_on_a_node_is_a_problem_that_names_both() -> None:
    (found,) = compared(MINE, {"one": MINE, "two": {**MINE, "python": "3.12.1"}})
    assert (found.state, found.where, found.says) == ("problem", "two", "python 3.12.1, the driver has 3.11.7")


def test_another_build_of_the_same_version_is_none() -> None:
    (found,) = compared(MINE, {"gpu node": {**MINE, "torch": "2.13.0+cu128"}})
    assert found.state == "ok"


@pytest.mark.parametrize(
    ("said", "off"),
    [(100.0, 0.0), (109.9, 0.0), (90.0, -10.0), (130.0, 20.0)],
    ids=["at once", "just before the answer", "behind", "ahead"],
)
def test_a_slow_answer_is_no_wrong_clock(said: float, off: float) -> None:
    assert offset(asked=100.0, said=said, answered=110.0) == pytest.approx(off)


@pytest.mark.parametrize(
    ("off", "state"), [(0.0, "ok"), (-2.9, "ok"), (-10.0, "warning"), (4.0, "warning"), (3600.0, "problem")]
)
def test_seconds_are_a_warning_and_minutes_a_problem(off: float, state: str) -> None:
    found = clock(off)
    assert found.state == state
    assert state == "ok" or "one time server" in found.mend
