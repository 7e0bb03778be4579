"""How the search went: which parameters matter, where the good trials lie, and when each trial ran and ended."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from w2s_ray.report.analyses import Analysis
from w2s_ray.report.drawing import CEILING, WEAK, WIDE, Line, grid, handle, legend, method_style, scale_axis
from w2s_ray.report.searching import Scored, is_log, numeric_pairs
from w2s_ray.search.record import COMPLETE, FAILED, PRUNED, TrialRecord

_STATES: Mapping[str, tuple[str, Line, str]] = {
    COMPLETE: ("#0072B2", "-", "o"),
    PRUNED: ("#E69F00", "--", "x"),
    FAILED: ("#D55E00", ":", "X"),
}
_OPEN: tuple[str, Line, str] = (WEAK, "-", ">")


def importance_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """The importance of each parameter as a bar, with the level that chance reaches."""
    figure, (axes,) = grid(["What sets the best trials apart"], columns)
    rows = analysis.importances
    for place, one in enumerate(rows):
        axes.barh(place, 100 * one.share, color="#0072B2" if one.share > one.by_chance else "#9CC3DC", height=0.6)
        axes.plot([100 * one.by_chance] * 2, [place - 0.4, place + 0.4], color=CEILING, linewidth=1.6)
    axes.set_yticks(range(len(rows)), [one.parameter for one in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#E5E5E5", linewidth=0.6)
    axes.set_xlabel("Share of the importance, PED-ANOVA (%)")
    figure.set_figheight(0.36 * len(rows) + 1.3)
    legend(figure, [handle("95 % of shuffled scores stay below", CEILING, "-")])
    return figure


def slices_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """The score of every finished trial against each parameter alone, the most important first."""
    names = [name for name in ordered_parameters(analysis) if name != "method"]
    figure, panels = grid([""] * len(names), columns)
    for place, (name, axes) in enumerate(zip(names, panels, strict=True)):
        with_it = [one for one in analysis.trials if name in one.varied]
        choices = analysis.record.sweep.space[name].choice
        for one in with_it:
            color, marker = method_style(one.trial.method)
            value = one.varied[name]
            x = choices.index(value) if choices is not None else value
            axes.plot(x, one.score, marker, color=color, markersize=5, alpha=0.8)
        axes.axhline(0, color=WEAK, linewidth=0.8)
        if choices is not None:
            axes.set_xticks(range(len(choices)), [str(choice) for choice in choices])
        else:
            _scale(axes, "x", analysis, name)
        axes.set_xlabel(name)
        if place % columns == 0:
            axes.set_ylabel("Score (points)")
    legend(figure, _method_handles(analysis))
    return figure


def contour_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """The score over the two most important parameters that are numbers."""
    found = numeric_pairs(analysis.record.sweep, analysis.trials, ordered_parameters(analysis))
    assert found is not None, "no two numeric parameters meet in five trials"
    a, b, trials = found
    figure, (axes,) = grid([f"{a} and {b}"], columns)
    scores = np.array([one.score for one in trials])
    reach = max(float(np.abs(scores).max()), 1e-9)
    drawn = axes.scatter(
        [float(one.varied[a]) for one in trials],
        [float(one.varied[b]) for one in trials],
        c=scores, cmap="cividis", vmin=-reach, vmax=reach, s=60, edgecolors="black", linewidths=0.5, zorder=3,
    )  # fmt: skip
    _scale(axes, "x", analysis, a)
    _scale(axes, "y", analysis, b)
    axes.use_sticky_edges = False
    axes.margins(0.08)
    _contours(axes, trials, a, b, reach)
    axes.set(xlabel=a, ylabel=b)
    figure.colorbar(drawn, ax=axes, label="Score (points)")
    return figure


def timeline_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """When each trial ran, by the clock, and how it ended."""
    figure, (axes,) = grid(["When each trial ran"], columns)
    trials = [one for one in analysis.record.trials if one.started is not None]
    begin = min(one.started or 0.0 for one in trials)
    unit, seconds = _time_unit(trials, begin)
    for trial in trials:
        color, line, marker = _STATES.get(trial.state, _OPEN)
        start = ((trial.started or begin) - begin) / seconds
        end = start if trial.finished is None else (trial.finished - begin) / seconds
        axes.plot([start, end], [trial.number] * 2, color=color, linestyle=line, linewidth=2)
        axes.plot(end, trial.number, marker, color=color, markersize=5)
    axes.invert_yaxis()
    axes.set(xlabel=f"Time since the first trial began ({unit})", ylabel="Trial number")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    states = dict.fromkeys(one.state for one in trials)
    legend(figure, [handle(state, *_STATES.get(state, _OPEN)) for state in states])
    return figure


def racing_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """Each trial's validation accuracy as it was learning (first seed), and where the pruned ones were stopped."""
    names = [pairing.name for pairing in analysis.report.pairings]
    figure, panels = grid(names, columns)
    for place, (name, axes) in enumerate(zip(names, panels, strict=True)):
        for trial in (one for one in analysis.record.trials if one.pairing == name and one.intermediate):
            steps = sorted(trial.intermediate)
            pruned = trial.state == PRUNED
            color = _STATES[PRUNED][0] if pruned else method_style(trial.method)[0]
            values = [100 * trial.intermediate[step] for step in steps]
            axes.plot(steps, values, color=color, linewidth=1, alpha=1 if pruned else 0.6)
            if pruned:
                axes.plot(steps[-1], values[-1], "x", color=color, markersize=7, zorder=3)
        axes.set_xlabel("Optimizer step")
        if place % columns == 0:
            axes.set_ylabel("Validation accuracy,\nfirst seed (%)")
    pruned = any(trial.state == PRUNED for trial in analysis.record.trials)
    legend(figure, _method_handles(analysis) + ([handle("pruned", _STATES[PRUNED][0], "-", "x")] if pruned else []))
    return figure


def ordered_parameters(analysis: Analysis) -> list[str]:
    """Returns the parameters that the search varied, the most important first."""
    ranked = [one.parameter for one in analysis.importances]
    return list(dict.fromkeys([*ranked, *(name for one in analysis.trials for name in one.varied)]))


def _scale(axes: Axes, which: Literal["x", "y"], analysis: Analysis, name: str) -> None:
    sweep = analysis.record.sweep
    scale_axis(axes, which, is_log(sweep, name), is_whole=sweep.space[name].int_ is not None)


def _contours(axes: Axes, trials: Sequence[Scored], a: str, b: str, reach: float) -> None:
    """Interpolates between the trials, and draws nothing where they lie on a line, so that there is no between."""
    x, y = (np.array([float(one.varied[name]) for one in trials]) for name in (a, b))
    log_x, log_y = (scale == "log" for scale in (axes.get_xscale(), axes.get_yscale()))
    flat = np.stack([np.log(x) if log_x else x, np.log(y) if log_y else y])
    spread = flat / np.maximum(np.ptp(flat, axis=1, keepdims=True), 1e-12)
    if len(np.unique(spread.round(6), axis=1).T) < 4 or np.linalg.matrix_rank(np.cov(spread), tol=1e-6) < 2:
        return
    scores = np.array([one.score for one in trials])
    axes.tricontourf(x, y, scores, levels=np.linspace(-reach, reach, 9), cmap="cividis", alpha=0.5, zorder=1)


def _time_unit(trials: Sequence[TrialRecord], begin: float) -> tuple[str, float]:
    longest = max((one.finished or one.started or begin) - begin for one in trials)
    return ("s", 1.0) if longest < 180 else ("min", 60.0) if longest < 3 * 3600 else ("h", 3600.0)


def _method_handles(analysis: Analysis) -> list[Line2D]:
    used = dict.fromkeys(trial.method for trial in analysis.record.trials)
    return [handle(method, method_style(method)[0], "", method_style(method)[1]) for method in used]
