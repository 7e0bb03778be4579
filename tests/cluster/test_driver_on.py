"""Where a driver may be put."""

import pytest
import typer

from w2s_ray.cluster.commands import submit_sweeps
from w2s_ray.spec import Sweep
from w2s_ray.spec.several import Several


def refusal(small: Sweep, driver_on: str) -> str:
    """Returns why a cluster that is not there is not even asked, or what asking it comes to."""
    several = Several(small.name, (small,))
    with pytest.raises((typer.BadParameter, ValueError)) as caught:
        submit_sweeps(several, "ftp://nowhere", driver_on, is_followed=False, insecure=False, take_over=False)
    return str(caught.value)


@pytest.mark.parametrize("selector", ["spot", "in(on-demand, spot)", "!on-demand"])
def test_a_driver_is_not_put_on_nodes_that_can_be_preempted(small: Sweep, selector: str) -> None:
    said = refusal(small, f"ray.io/market-type={selector}")
    assert f"ray.io/market-type={selector} means nodes that can be preempted" in said
    assert "name others, such as ray.io/market-type=on-demand" in said


@pytest.mark.parametrize(
    "driver_on", ["ray.io/market-type=on-demand", "ray.io/market-type=!spot", "w2s/driver=yes", "team=spot"]
)
def test_other_labels_are_left_to_the_cluster(small: Sweep, driver_on: str) -> None:
    assert "preempted" not in refusal(small, driver_on)


def test_a_label_without_a_value_is_refused(small: Sweep) -> None:
    assert "LABEL=VALUE, such as ray.io/market-type=on-demand, got 'spot'" in refusal(small, "spot")
