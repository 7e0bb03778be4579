"""How MLflow's UI shows a sweep: the experiment's description, and a view of its trials with the columns that matter.

By itself the UI opens an experiment on a page about language-model traces, and its table of runs lists trials and
stages together without a single metric. So the experiment carries a shared view, kept where the UI's own "Share" keeps
one (a tag, of which the UI reads plain JSON), and `links` are addresses that open it.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from w2s_ray.spec import Sweep

_VIEW = "trials"
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
_NOTE_TAG = "mlflow.note.content"
_MOST_EXPERIMENTS = 1000


def experiment_tags(sweep: Sweep) -> dict[str, str]:
    """Returns the tags of the sweep's experiment: its description and the view of its trials."""
    return {_NOTE_TAG: _description(sweep), _VIEW_TAG: json.dumps(_view(sweep))}


def link(url: str, experiment_id: str) -> str:
    """Returns the address of the view of an experiment's trials."""
    query = urlencode({"workflowType": "machine_learning", "viewStateShareKey": _VIEW})
    return f"{url}/#/experiments/{experiment_id}/runs?{query}"


def links(url: str) -> dict[str, str]:
    """Returns name to address of every sweep that the MLflow server at `url` shows; none if it does not answer."""
    query = urlencode({"max_results": _MOST_EXPERIMENTS})
    try:
        with urllib.request.urlopen(f"{url}/api/2.0/mlflow/experiments/search?{query}", timeout=20) as answer:
            experiments: list[Mapping[str, Any]] = json.load(answer).get("experiments", [])
    except (urllib.error.URLError, OSError, ValueError):
        return {}
    ours = [one for one in experiments if any(tag["key"] == _VIEW_TAG for tag in one.get("tags", []))]
    return {one["name"]: link(url, one["experiment_id"]) for one in ours}


def _description(sweep: Sweep) -> str:
    pairings = ", ".join(pairing.name for pairing in sweep.pairings)
    return (
        f"{', '.join(sweep.methods)} on {sweep.task.source}; pairings {pairings}. "
        "Runs are of three kinds (tag `kind`): the sweep with the report, its trials, and each stage that was trained."
    )


def _view(sweep: Sweep) -> dict[str, object]:
    objective = f"validation_{sweep.objective.labels}"
    metrics = (objective, "weak_accuracy", "student_accuracy", "ceiling_accuracy", "pgr")
    params = ("pairing", "method", *(name for name, dimension in sweep.space.items() if dimension.varies))
    columns = [f"metrics.`{name}`" for name in metrics] + [f"params.`{name}`" for name in params]
    return {
        "searchFilter": "tags.kind = 'trial'",
        "orderByKey": f"metrics.`{objective}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
    }
