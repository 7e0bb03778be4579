"""What a sweep asks for, against the nodes that a cluster has or may have."""

from typing import Any

import pytest

from w2s_ray.search.fitting import without_place
from w2s_ray.spec import Resources, Sweep, replace
from w2s_ray.spec.resources import ResourcePlan

NODES: list[tuple[dict[str, float], int]] = [({"CPU": 2}, 1), ({"CPU": 8, "GPU": 1}, 2)]


def asking(small: Sweep, **wanted: Any) -> Sweep:
    return replace(small, resources=ResourcePlan(models={"minilm-1": Resources(**wanted)}))


@pytest.mark.parametrize("wanted", [{"cpus": 8, "gpus": 1}, {"gpus": 1, "workers": 2}, {"cpus": 2, "workers": 9}])
def test_what_some_nodes_can_hold_is_not_spoken_of(small: Sweep, wanted: dict[str, Any]) -> None:
    assert list(without_place(asking(small, **wanted), NODES)) == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"cpus": 1, "gpus": 2}, "resources.models.minilm-1 asks for 1 CPU and 2 GPU"),
        ({"cpus": 1, "gpus": 1, "workers": 3}, "1 CPU and 1 GPU for each of 3 workers"),
        ({"cpus": 1, "custom": {"tpu": 1}}, "1 tpu"),
    ],
)
def test_what_none_can_hold_is_named_with_where_it_stands(small: Sweep, wanted: dict[str, Any], words: str) -> None:
    (said,) = without_place(asking(small, **wanted), NODES)
    assert words in said
