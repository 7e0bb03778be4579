"""Three pictures of a sweep: accuracies, PGR, and how the search went; one panel for each pairing."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from w2s_ray.report.answers import MethodAnswer, PairingAnswer, Report
from w2s_ray.report.drawing import CEILING, DARK, WEAK, WIDE, handle, legend, method_style, pairing_grid, save, say
from w2s_ray.report.selecting import ORACLE
from w2s_ray.report.statistics import Interval
from w2s_ray.search.record import COMPLETE, PRUNED, SweepRecord, TrialRecord

_PGR_VIEW = (-1.0, 2.0)  # beyond, an arrow: one wide interval would flatten all others


def write_figures(report: Report, record: SweepRecord, folder: Path) -> list[Path]:
    """Writes each figure as PNG and SVG into an existing folder; returns their paths, none without a finished trial."""
    if not any(pairing.methods for pairing in report.pairings):
        return []
    figures = {"accuracy": accuracy_figure(report), "pgr": pgr_figure(report), "search": search_figure(report, record)}
    paths = [folder / f"{name}.{kind}" for name in figures for kind in ("png", "svg")]
    for path in paths:
        save(figures[path.stem], path)
    return paths


def accuracy_figure(report: Report, columns: int = WIDE) -> Figure:
    """Student test accuracy of each method with its interval, between the weak model's and the ceiling's."""
    figure, panels = pairing_grid(report, "Test accuracy (%)", columns)
    for pairing, axes in panels:
        _band(axes, pairing.weak_accuracy, WEAK, "--")
        _band(axes, pairing.ceiling_accuracy, CEILING, "-")
        _points(axes, pairing, lambda answer: answer.student, 100)
        axes.margins(y=0.1)
    legend(figure, [handle("ceiling", CEILING, "-"), handle("weak supervisor", WEAK, "--"), _interval_handle()])
    return figure


def pgr_figure(report: Report, columns: int = WIDE) -> Figure:
    """PGR of each method with its interval; 0 is the weak model, 1 the ceiling."""
    figure, panels = pairing_grid(report, "Performance gap recovered (PGR)", columns)
    for pairing, axes in panels:
        axes.axhline(0, color=WEAK, linestyle="--", linewidth=1)
        axes.axhline(1, color=CEILING, linewidth=1)
        _points(axes, pairing, lambda answer: answer.pgr, 1)
        if not pairing.methods[0].pgr.is_defined:
            say(axes, "undefined:\nno clear gap")
        low, high = axes.get_ylim()
        axes.set_ylim(max(min(low, -0.15), _PGR_VIEW[0]), min(max(high, 1.15), _PGR_VIEW[1]))
        _arrows(axes, pairing)
    lines = [handle("ceiling (1)", CEILING, "-"), handle("weak supervisor (0)", WEAK, "--")]
    legend(figure, [*lines, _interval_handle()])
    return figure


def search_figure(report: Report, record: SweepRecord, columns: int = WIDE) -> Figure:
    """The objective of every finished trial in the order of the search, and the best so far."""
    judge = "ground truth" if report.selected_by == ORACLE else "weak labels"
    figure, panels = pairing_grid(report, f"Validation accuracy\nagainst {judge} (%)", columns)
    for pairing, axes in panels:
        trials = [trial for trial in record.trials if trial.pairing == pairing.name]
        _history(axes, [trial for trial in trials if trial.state == COMPLETE], report.selected_by)
        stopped = [trial for trial in trials if trial.state == PRUNED and trial.intermediate]
        last = [100 * trial.intermediate[max(trial.intermediate)] for trial in stopped]
        axes.plot([trial.number for trial in stopped], last, "x", color=WEAK, markersize=5, zorder=3)
        axes.set_xlabel("Trial number")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.1)
    handles = [handle(method, method_style(method)[0], "", method_style(method)[1]) for method in record.sweep.methods]
    if any(trial.state == PRUNED for trial in record.trials):
        handles.append(handle("pruned, when stopped (first seed)", WEAK, "", "x"))
    legend(figure, [*handles, handle("best so far", DARK, "-")])
    return figure


def _history(axes: Axes, finished: Sequence[TrialRecord], labels: str) -> None:
    best: list[float] = []
    for trial in finished:
        value = 100 * trial.values[labels]
        best.append(max(value, *best[-1:]) if best else value)
        color, marker = method_style(trial.method)
        axes.plot(trial.number, value, marker, color=color, markersize=5, zorder=3)
    axes.step([trial.number for trial in finished], best, where="post", color=DARK, linewidth=1)


def _points(axes: Axes, pairing: PairingAnswer, value: Callable[[MethodAnswer], Interval], scale: float) -> None:
    """A dot with its interval for each method; the naive default hollow."""
    entries = list(_entries(pairing))
    for place, (name, answer) in enumerate(entries):
        interval = value(answer)
        if interval.estimate is None or interval.low is None or interval.high is None:
            continue
        color, marker = method_style(answer.method)
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
        color = method_style(answer.method)[0]
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


def _interval_handle() -> Line2D:
    color, marker = method_style("naive")
    return handle("student, 95 % interval", color, "-", marker)
