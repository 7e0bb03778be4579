"""Three pictures of a sweep: accuracies, PGR, and how the search went; one panel for each pairing.

Colours are Okabe and Ito's, which people with any colour vision can tell apart, and each method has its marker too.
Figures are objects without pyplot, so that nothing global changes and no display is needed.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from w2s_ray.report.answers import MethodAnswer, PairingAnswer, Report
from w2s_ray.report.selecting import ORACLE
from w2s_ray.report.statistics import Interval
from w2s_ray.search.record import COMPLETE, PRUNED, SweepRecord, TrialRecord
from w2s_ray.spec.method import DEFAULTS

_COLUMNS, _WIDTH, _HEIGHT = 3, 3.8, 3.2  # panels in a row; inches of a panel
_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))
_WEAK, _CEILING, _BEST = "#767676", "#000000", "#444444"
_PGR_VIEW = (-1.0, 2.0)  # beyond, an arrow: one wide interval would flatten all others


def write_figures(report: Report, record: SweepRecord, folder: Path) -> list[Path]:
    """Writes each figure as PNG and SVG into an existing folder; returns their paths, none without a finished trial."""
    if not any(pairing.methods for pairing in report.pairings):
        return []
    figures = {"accuracy": accuracy_figure(report), "pgr": pgr_figure(report), "search": search_figure(report, record)}
    paths = [folder / f"{name}.{kind}" for name in figures for kind in ("png", "svg")]
    # A fixed salt and no date: the same sweep gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "w2s_ray"}):
        for path in paths:
            figures[path.stem].savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def accuracy_figure(report: Report) -> Figure:
    """Student test accuracy of each method with its interval, between the weak model's and the ceiling's."""
    figure, panels = _panels(report, "Test accuracy (%)")
    for pairing, axes in panels:
        _band(axes, pairing.weak_accuracy, _WEAK, "--")
        _band(axes, pairing.ceiling_accuracy, _CEILING, "-")
        _points(axes, pairing, lambda answer: answer.student, 100)
        axes.margins(y=0.1)
    _legend(figure, [_handle("ceiling", _CEILING, "-"), _handle("weak supervisor", _WEAK, "--"), _interval_handle()])
    return figure


def pgr_figure(report: Report) -> Figure:
    """PGR of each method with its interval; 0 is the weak model, 1 the ceiling."""
    figure, panels = _panels(report, "Performance gap recovered (PGR)")
    for pairing, axes in panels:
        axes.axhline(0, color=_WEAK, linestyle="--", linewidth=1)
        axes.axhline(1, color=_CEILING, linewidth=1)
        _points(axes, pairing, lambda answer: answer.pgr, 1)
        if not pairing.methods[0].pgr.is_defined:
            axes.text(0.5, 0.5, "undefined:\nno clear gap", transform=axes.transAxes, ha="center", va="center")
        low, high = axes.get_ylim()
        axes.set_ylim(max(min(low, -0.15), _PGR_VIEW[0]), min(max(high, 1.15), _PGR_VIEW[1]))
        _arrows(axes, pairing)
    lines = [_handle("ceiling (1)", _CEILING, "-"), _handle("weak supervisor (0)", _WEAK, "--")]
    _legend(figure, [*lines, _interval_handle()])
    return figure


def search_figure(report: Report, record: SweepRecord) -> Figure:
    """The objective of every finished trial in the order of the search, and the best so far."""
    judge = "ground truth" if report.selected_by == ORACLE else "weak labels"
    figure, panels = _panels(report, f"Validation accuracy\nagainst {judge} (%)")
    for pairing, axes in panels:
        trials = [trial for trial in record.trials if trial.pairing == pairing.name]
        _history(axes, [trial for trial in trials if trial.state == COMPLETE], report.selected_by)
        stopped = [trial for trial in trials if trial.state == PRUNED and trial.intermediate]
        last = [100 * trial.intermediate[max(trial.intermediate)] for trial in stopped]
        axes.plot([trial.number for trial in stopped], last, "x", color=_WEAK, markersize=5, zorder=3)
        axes.set_xlabel("Trial number")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.1)
    handles = [_handle(method, _style(method)[0], "", _style(method)[1]) for method in record.sweep.methods]
    if any(trial.state == PRUNED for trial in record.trials):
        handles.append(_handle("pruned, when stopped (first seed)", _WEAK, "", "x"))
    _legend(figure, [*handles, _handle("best so far", _BEST, "-")])
    return figure


def _history(axes: Axes, finished: Sequence[TrialRecord], labels: str) -> None:
    best: list[float] = []
    for trial in finished:
        value = 100 * trial.values[labels]
        best.append(max(value, *best[-1:]) if best else value)
        color, marker = _style(trial.method)
        axes.plot(trial.number, value, marker, color=color, markersize=5, zorder=3)
    axes.step([trial.number for trial in finished], best, where="post", color=_BEST, linewidth=1)


def _panels(report: Report, label: str) -> tuple[Figure, list[tuple[PairingAnswer, Axes]]]:
    """Returns a figure with one panel for each pairing, and those to fill; the first of a row has the y label."""
    columns = min(len(report.pairings), _COLUMNS)
    rows = -(-len(report.pairings) // columns)
    # One panel alone is wider, or the legend would not fit above it.
    figure = Figure(figsize=(max(1.5, columns) * _WIDTH, rows * _HEIGHT + 0.4), layout="constrained")
    panels = []
    for index, pairing in enumerate(report.pairings):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(pairing.name, fontsize=10, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#E5E5E5", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9)
        if index % columns == 0:
            axes.set_ylabel(label)
        if pairing.methods:
            panels.append((pairing, axes))
        else:
            axes.set(xticks=[], yticks=[])
            axes.text(0.5, 0.5, "no finished trial yet", transform=axes.transAxes, ha="center", va="center")
    return figure, panels


def _points(axes: Axes, pairing: PairingAnswer, value: Callable[[MethodAnswer], Interval], scale: float) -> None:
    """A dot with its interval for each method; the naive default hollow."""
    entries = list(_entries(pairing))
    for place, (name, answer) in enumerate(entries):
        interval = value(answer)
        if interval.estimate is None or interval.low is None or interval.high is None:
            continue
        color, marker = _style(answer.method)
        axes.plot([place, place], [scale * interval.low, scale * interval.high], color=color, linewidth=1.6, zorder=3)
        face = color if name == answer.method else "white"
        axes.plot(place, scale * interval.estimate, marker, color=color, markerfacecolor=face, markersize=7, zorder=4)
    crowded = len(entries) > 4
    names = [name for name, _ in entries]
    axes.set_xticks(range(len(entries)), names, rotation=30 if crowded else 0, ha="right" if crowded else "center")
    axes.set_xlim(-0.6, max(0.6, len(entries) - 0.4))


def _arrows(axes: Axes, pairing: PairingAnswer) -> None:
    """Marks the intervals that go on beyond the panel."""
    bottom, top = axes.get_ylim()
    for place, (_, answer) in enumerate(_entries(pairing)):
        color = _style(answer.method)[0]
        if answer.pgr.low is not None and answer.pgr.low < bottom:
            axes.plot(place, bottom, "v", color=color, markersize=6, clip_on=False, zorder=5)
        if answer.pgr.high is not None and answer.pgr.high > top:
            axes.plot(place, top, "^", color=color, markersize=6, clip_on=False, zorder=5)


def _band(axes: Axes, interval: Interval, color: str, style: str) -> None:
    if interval.estimate is None or interval.low is None or interval.high is None:
        return
    axes.axhspan(100 * interval.low, 100 * interval.high, color=color, alpha=0.1, linewidth=0)
    axes.axhline(100 * interval.estimate, color=color, linestyle=style, linewidth=1)


def _entries(pairing: PairingAnswer) -> Iterator[tuple[str, MethodAnswer]]:
    if pairing.naive_default is not None:
        yield "naive\ndefault", pairing.naive_default
    for answer in pairing.methods:
        yield answer.method, answer


def _style(method: str) -> tuple[str, str]:
    """Returns colour and marker, the same in every figure and sweep."""
    return _STYLES[list(DEFAULTS).index(method) % len(_STYLES)]


def _handle(label: str, color: str, style: Literal["-", "--", ""], marker: str = "") -> Line2D:
    return Line2D([], [], color=color, linestyle=style, marker=marker, markersize=5, linewidth=1.2, label=label)


def _interval_handle() -> Line2D:
    return _handle("student, 95 % interval", _STYLES[0][0], "-", _STYLES[0][1])


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    columns = len(handles) if figure.get_figwidth() > 2 * _WIDTH - 0.1 else 3
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
