"""How MLflow's UI shows a sweep: the experiment's description, and a view of its trials with columns and charts.

By itself the UI opens an experiment on a page about language-model traces, and its table of runs lists trials and
stages together without a single metric. So the experiment carries a shared view, kept where the UI's own "Share" keeps
one (a tag, of which the UI reads plain JSON), and `links` are addresses that open it.
"""

import base64
import json
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from w2s_ray.files import from_json
from w2s_ray.search.record import SweepRecord
from w2s_ray.spec import Sweep
from w2s_ray.tracking.charts import chart_state
from w2s_ray.tracking.planned import HISTORY, cut

_VIEW = "trials"
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
_NOTE_TAG, _NOTE_OF = "mlflow.note.content", "w2s.note."
_MOST_EXPERIMENTS = 1000
_LONGEST = 5000  # characters that every MLflow of the versions we take keeps of an experiment's tag
_LINE = "\n\n---\n\n"  # between the descriptions of several histories
_WORKFLOW = {"workflowType": "machine_learning"}  # or the UI opens its pages for language-model traces
_NAME_COLUMN, _CREATED_COLUMN = "attributes.`Run Name`", "runDateAndNestInfo"  # as the UI's table calls them


def experiment_tags(record: SweepRecord, places: str, answer: str) -> dict[str, str]:
    """Returns the tags of the sweep's experiment: its description, `places` and `answer` in it, and the view."""
    return {_NOTE_TAG: _description(record, places, answer), _VIEW_TAG: _view_text(record.sweep)}


def beside_others(tags: Mapping[str, str], there: Mapping[str, str], history: str) -> dict[str, str]:
    """Returns the tags with a description for all histories of the experiment, and this one's in a tag of its own.

    Args:
        tags: as `experiment_tags` gives them.
        there: what the experiment has.
        history: of the sweep; empty if it is not known.
    """
    mine = {f"{_NOTE_OF}{history}": tags[_NOTE_TAG]} if history else {}
    notes = {name: text for name, text in {**there, **mine}.items() if name.startswith(_NOTE_OF)}
    shown = (cut(notes[name], _LONGEST // len(notes) - len(_LINE)) for name in sorted(notes))
    return {**tags, **mine, _NOTE_TAG: _LINE.join(shown) if len(notes) > 1 else tags[_NOTE_TAG]}


def link(url: str, experiment_id: str, **query: str) -> str:
    """Returns the address of the view of an experiment's trials."""
    text = urlencode({**_WORKFLOW, "viewStateShareKey": _VIEW, **query})
    return f"{url}/#/experiments/{experiment_id}/runs?{text}"


def places(experiment_id: str, run_id: str, page: str | None) -> str:
    """Returns a line of links, in Markdown, to what one looks for; `page` is the report's file, None without one."""
    run, query = f"/#/experiments/{experiment_id}/runs/{run_id}", urlencode(_WORKFLOW)
    named = {
        "sweep": f"{run}?{query}",
        "trials": link("", experiment_id),
        "trials compared": link("", experiment_id, compareRunsMode="CHART"),
        "best so far": f"{run}/model-metrics?{query}",
        **({} if page is None else {"report": f"{run}/artifacts/report/{page}?{query}"}),
    }
    # Without the slash, since a server may live under a path.
    return " · ".join(f"[{name}]({address.removeprefix('/')})" for name, address in named.items())


def links(url: str) -> dict[str, str]:
    """Returns name to address of every sweep that the MLflow server at `url` shows; none if it does not answer."""
    query = urlencode({"max_results": _MOST_EXPERIMENTS})
    try:
        with urllib.request.urlopen(f"{url}/api/2.0/mlflow/experiments/search?{query}", timeout=20) as answer:
            experiments: list[Mapping[str, Any]] = from_json(answer.read()).get("experiments", [])
    except (urllib.error.URLError, OSError, ValueError):
        return {}
    ours = [one for one in experiments if any(tag["key"] == _VIEW_TAG for tag in one.get("tags", []))]
    return {one["name"]: link(url, one["experiment_id"]) for one in ours}


def _description(record: SweepRecord, places: str, answer: str) -> str:
    sweep = record.sweep
    pairings = ", ".join(pairing.name for pairing in sweep.pairings)
    kinds = (
        f"{', '.join(sweep.methods)} on {sweep.task.source}; pairings {pairings}. "
        "Runs are of three kinds (tag `kind`): the sweep with the report, its trials, and each stage that was trained. "
        f"{told_apart(record)}"
    )
    return cut("\n\n".join(filter(None, (places, answer, kinds))), _LONGEST)


def told_apart(record: SweepRecord) -> str:
    """Returns a sentence on the store, and on how its runs are told from those of another one's in the experiment."""
    tag = f"; its runs have the tag `{HISTORY}` `{record.history}`" if record.history else ""
    return f"Store: `{record.store.uri}`{tag}."


def _view_text(sweep: Sweep) -> str:
    """Returns the view as JSON; one that is too long for a tag as the UI's own "Share" writes them."""
    text = json.dumps(_view(sweep))
    if len(text) <= _LONGEST:
        return text
    return "deflate;" + base64.b64encode(zlib.compress(text.encode())).decode()


def _view(sweep: Sweep) -> dict[str, object]:
    objective = f"validation_{sweep.objective.labels}"
    metrics = (objective, "student_accuracy", "pgr", "weak_accuracy", "ceiling_accuracy")
    params = (*(name for name, dimension in sweep.space.items() if dimension.varies), "method", "pairing")
    widths = {f"metrics.`{name}`": _width(name) for name in metrics} | {
        f"params.`{name}`": _width(name) for name in params
    }
    columns = list(widths)
    return {
        "searchFilter": "tags.kind = 'trial'",
        "orderByKey": f"metrics.`{objective}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": [_NAME_COLUMN, _CREATED_COLUMN, *columns],
        "columnWidths": {_NAME_COLUMN: _name_width(sweep), _CREATED_COLUMN: 125, **widths},
        **chart_state(sweep, objective),
    }


def _width(header: str) -> int:
    """Returns pixels enough for a column's header; its numbers have more digits than anybody reads."""
    return max(90, 35 + 7 * len(header))


def _name_width(sweep: Sweep) -> int:
    """Returns pixels enough for number, method and pairing; the settings behind them have columns of their own."""
    longest = max(len(f"{method} {pairing.name}") for method in sweep.methods for pairing in sweep.pairings)
    return min(420, 110 + 7 * longest)
