"""The quickstart made small enough to be run again and again, by the tests of whole sweeps and by the chaos harness."""

from pathlib import Path
from typing import Any

from w2s_ray.spec import Sweep, replace, yaml

QUICKSTART = Path(__file__).parents[1] / "sweeps" / "quickstart.yaml"


def reduced_quickstart(**changes: Any) -> Sweep:
    """The quickstart with small splits, shallow models and few trials: 28 stages."""
    sweep = yaml.load(QUICKSTART)
    shallow = {
        name: replace(model, depth=min(model.depth or 0, 2), baseline=replace(model.baseline, epochs=3, eval_every=5))
        for name, model in sweep.models.items()
    }
    splits = replace(sweep.task.splits, weak=200, student=300, validation=200, test=300)
    search = replace(sweep.search, **{"trials": 9, **changes.pop("search", {})})
    task = replace(sweep.task, splits=splits)
    return replace(sweep, task=task, models=shallow, seeds=(0, 1), search=search, **changes)
