"""The charts with which MLflow compares a sweep's trials.

By itself the UI draws one bar a metric for ten runs. What trials are compared for is which settings did well, and
whether what looked good on validation was so on the test split: parallel coordinates and scatter plots. Parallel
coordinates show only the trials that have each of their params, so one is over what all methods share, and each method
with settings of its own has another. The UI adds the metrics that have no chart, in sections of its own.
"""

from collections.abc import Iterator
from typing import Any

from w2s_ray.spec import Sweep

_MOST_AXES = 6  # of params in one chart: with more than eight axes the UI turns their names
_WIDE = {"columns": 1, "cardHeight": 320}

Parts = tuple[dict[str, Any], list[dict[str, Any]]]  # a section, and its charts


def chart_state(sweep: Sweep, objective: str) -> dict[str, object]:
    """Returns the part of the UI's state that says which charts there are; `objective` is the metric searched for."""
    parts = [*_parallels(sweep, objective), _outcome(objective)]
    return {
        "compareRunSections": [section for section, _ in parts],
        "compareRunCharts": [chart for _, charts in parts for chart in charts],
        "isAccordionReordered": True,  # or the UI sorts the sections by name
        "runsHiddenMode": "SHOW_ALL",  # by default charts show the first ten runs
    }


def settings_of(sweep: Sweep, method: str) -> tuple[str, ...]:
    """Returns what the search varies in every trial of a method, in the order of the spec."""
    pairings = [pairing.name for pairing in sweep.pairings]
    return tuple(
        name
        for name, dimension in sweep.space.items()
        if dimension.varies and all(dimension.exists(name, method, pairing) for pairing in pairings)
    )


def _parallels(sweep: Sweep, objective: str) -> Iterator[Parts]:
    """Yields a section over the settings that all methods share, then one per method that has more."""
    settings = {method: settings_of(sweep, method) for method in sweep.methods}
    shared = [name for name in sweep.space if all(name in names for names in settings.values())]
    lead = "method" if len(settings) > 1 else "pairing"
    yield _section("all", "Settings of all trials", _WIDE, [_parallel([lead, *shared], objective)])
    for method, names in settings.items():
        own = [name for name in names if name not in shared]
        if own:
            yield _section(method, f"Settings of {method}", _WIDE, [_parallel([*own, *shared], objective)])


def _parallel(params: list[str], objective: str) -> dict[str, Any]:
    # The last axis gives the lines their colours.
    axes = {"selectedParams": params[:_MOST_AXES], "selectedMetrics": ["pgr", objective]}
    return {"type": "PARALLEL", **axes, "showAllRuns": True}


def _outcome(objective: str) -> Parts:
    axes = {"xaxis": {"type": "METRIC", "key": objective}, "yaxis": {"type": "METRIC", "key": "student_accuracy"}}
    charts: list[dict[str, Any]] = [{"type": "SCATTER", **axes}, {"type": "BAR", "metricKey": "pgr"}]
    return _section("outcome", "Validation, test and PGR", {"columns": 2, "cardHeight": 360}, charts)


def _section(key: str, name: str, shape: dict[str, int], charts: list[dict[str, Any]]) -> Parts:
    section = {"uuid": f"w2s-{key}", "name": name, "display": True, "isReordered": True, **shape}
    common = {"metricSectionId": section["uuid"], "deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    return section, [{"uuid": f"w2s-{key}-{n}", **common, **chart} for n, chart in enumerate(charts)]
