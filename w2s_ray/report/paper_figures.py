"""The figures of Burns et al. (arXiv 2312.09390) for a sweep: against model size, agreement, learning curves.

Added to the paper's are calibration, which its section on labels mentions and does not show, and the cost of ways to
choose. A pairing's *best* is its best method's chosen trial; the paper's own baseline is the naive default.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from w2s_ray.report.analyses import Analysis
from w2s_ray.report.answers import MethodAnswer, PairingAnswer
from w2s_ray.report.drawing import (
    CEILING,
    WEAK,
    WIDE,
    Line,
    grid,
    handle,
    legend,
    method_style,
    pairing_grid,
    say,
    style,
)
from w2s_ray.report.sizes import Sizes
from w2s_ray.report.statistics import Interval

_ENDS = (
    ("at the last step", "o", 7),
    ("stopped by weak labels", "s", 7),
    ("stopped by ground truth (a cheat)", "*", 13),
)

Point = tuple[float, float | None, Interval | None]  # size, value, interval


def size_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """Accuracy and PGR against the size of the strong model, a line for each weak model, and the ceiling."""
    figure, (accuracy, pgr) = grid(["Accuracy", "Performance gap recovered"], columns)
    accuracy.set_ylabel("Test accuracy (%)")
    pgr.set_ylabel("PGR")
    pgr.axhline(0, color=WEAK, linestyle=":", linewidth=1)
    pgr.axhline(1, color=CEILING, linewidth=1)
    for place, (_, answers) in enumerate(_by_weak(analysis)):
        _line(accuracy, analysis.sizes, answers, place, "student", 100)
        _line(pgr, analysis.sizes, answers, place, "pgr", 1)
        if (own := answers[0].weak_accuracy.estimate) is not None:
            accuracy.axhline(100 * own, color=style(place)[0], linestyle=":", linewidth=1)
    ceilings = {one.strong: one.ceiling_accuracy.estimate for one in analysis.report.pairings}
    points = sorted((analysis.sizes.of[name], 100 * one) for name, one in ceilings.items() if one is not None)
    accuracy.plot([x for x, _ in points], [y for _, y in points], "*-", color=CEILING, linewidth=1, markersize=8)
    for axes in (accuracy, pgr):
        _size_axis(axes, analysis)
    own_line = handle("weak supervisor itself", WEAK, ":")
    legend(figure, [*_weak_handles(analysis), handle("ceiling", CEILING, "-", "*"), own_line, *_student_handles()])
    return figure


def agreement_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """How often the student says what its supervisor says, where that is right and where it is wrong, against size."""
    titles = ["where the supervisor is right", "where the supervisor is wrong"]
    figure, panels = grid(titles, columns)
    panels[0].set_ylabel("Agreement with the supervisor (%)")
    for axes, field in zip(panels, ("weak_right", "weak_wrong"), strict=True):
        for place, (_, answers) in enumerate(_by_weak(analysis)):
            _line(axes, analysis.sizes, answers, place, field, 100)
        _size_axis(axes, analysis)
    legend(figure, [*_weak_handles(analysis), *_student_handles()])
    return figure


def curves_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """Validation accuracy and agreement with the weak labels along the training, and three ends of it."""
    figure, panels = pairing_grid(analysis.report, "On the validation split (%)", columns)
    by_name = {pairing.answer.name: pairing for pairing in analysis.pairings}
    names: dict[str, str] = {}
    for pairing, axes in panels:
        for name, curve in by_name[pairing.name].curves.items():
            color = _student_color(name)
            names[name] = color
            axes.plot(curve.steps, 100 * curve.accuracy, color=color, linewidth=1.4)
            if curve.agreement is not None:
                axes.plot(curve.steps, 100 * curve.agreement, color=color, linewidth=1.2, linestyle="--")
            for stop, (_, marker, size) in zip(
                (curve.last, curve.weak_stopped, curve.truth_stopped), _ENDS, strict=True
            ):
                if stop is not None:
                    x, y = stop.step, 100 * stop.accuracy
                    axes.plot(x, y, marker, color=color, markersize=size, markeredgecolor="white", zorder=4)
        axes.set_xlabel("Optimizer step")
    lines = [handle("accuracy", WEAK, "-"), handle("agreement with weak labels", WEAK, "--")]
    students = [handle(name, color, "-") for name, color in names.items()]
    legend(figure, [*students, *lines, *(handle(label, WEAK, "", marker) for label, marker, _ in _ENDS)])
    return figure


def calibration_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """Accuracy against confidence, on the test split, in ten bins of equal mass."""
    figure, panels = pairing_grid(analysis.report, "Accuracy (%)", columns)
    by_name = {pairing.answer.name: pairing for pairing in analysis.pairings}
    looks: dict[str, Line2D] = {}
    for pairing, axes in panels:
        found = by_name[pairing.name].calibration
        low = 100 * min(min(one.confidence.min(), one.accuracy.min()) for one in found.values())
        axes.plot([low, 100], [low, 100], color=WEAK, linewidth=0.8)
        for name, one in found.items():
            look = _calibration_look(name)
            looks[name] = look
            axes.plot(
                100 * one.confidence,
                100 * one.accuracy,
                color=look.get_color(),
                linestyle=look.get_linestyle(),
                marker=look.get_marker(),
                markersize=4,
                linewidth=1.2,
            )
        axes.set_xlabel("Confidence: probability of the predicted class (%)", fontsize=9)
    legend(figure, [*looks.values(), handle("perfectly calibrated", WEAK, "-")])
    return figure


def saliency_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """Test accuracy of linear probes and finetunings, on weak labels and on ground truth (the paper's figure 11)."""
    figure, panels = pairing_grid(analysis.report, "Test accuracy (%)", columns)
    by_name = {pairing.answer.name: pairing for pairing in analysis.pairings}
    for pairing, axes in panels:
        found = by_name[pairing.name].saliency
        if found is None:
            say(axes, "not all probes\nhave finished")
            axes.set(xticks=[], yticks=[])
            continue
        for place, (name, bar) in enumerate(found.bars.items()):
            _bar(axes, place, bar, style(0 if name.endswith("truth") else 4)[0])
        axes.set_xticks(range(len(found.bars)), [name.replace(", ", ",\n") for name in found.bars])
        # From chance of two classes, unless a model is below it.
        axes.set_ylim(bottom=50 if min(bar.low or 0 for bar in found.bars.values()) > 0.5 else 0)
    kinds = (("learned ground truth last", style(0)[0]), ("learned weak labels", style(4)[0]))
    legend(figure, [handle(label, color, "", "s") for label, color in kinds])
    return figure


def _bar(axes: Axes, place: int, bar: Interval, color: str) -> None:
    if bar.estimate is not None and bar.low is not None and bar.high is not None:
        axes.bar(place, 100 * bar.estimate, width=0.7, color=color)
        axes.plot([place, place], [100 * bar.low, 100 * bar.high], color=CEILING, linewidth=1.2)


def choices_figure(analysis: Analysis, columns: int = WIDE) -> Figure:
    """What each way to choose hyper-parameters costs in test accuracy, against the choice with all of ground truth."""
    figure, (axes,) = grid(["Regret of each way to choose"], columns)
    ways = list(dict.fromkeys(choice.way for pairing in analysis.pairings for choice in pairing.choices))
    axes.axvline(0, color=CEILING, linewidth=1)
    for place, pairing in enumerate(analysis.pairings):
        color, marker = style(place)
        shift = 0.18 * (place - (len(analysis.pairings) - 1) / 2)
        for choice in pairing.choices:
            _regret(axes, choice.regret, ways.index(choice.way) + shift, color, marker)
    axes.set_yticks(range(len(ways)), [_broken(way) if columns == 1 else way for way in ways])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#E5E5E5", linewidth=0.6)
    axes.set_xlabel("Test accuracy lost (points)")
    figure.set_figheight(0.45 * len(ways) + 1.3)
    pairs = [(pairing.answer.name, *style(place)) for place, pairing in enumerate(analysis.pairings)]
    legend(figure, [handle(name, color, "-", marker) for name, color, marker in pairs])
    return figure


def _regret(axes: Axes, regret: Interval, y: float, color: str, marker: str) -> None:
    if regret.estimate is not None and regret.low is not None and regret.high is not None:
        axes.plot([100 * regret.low, 100 * regret.high], [y, y], color=color, linewidth=1.4)
        axes.plot(100 * regret.estimate, y, marker, color=color, markersize=5)


def _by_weak(analysis: Analysis) -> Iterator[tuple[str, list[PairingAnswer]]]:
    """Yields each weak model with its pairings that have finished trials, the strong models by rising size."""
    for weak in _weak_names(analysis):
        answers = [one for one in analysis.report.pairings if one.weak == weak and one.methods]
        if answers:
            yield weak, sorted(answers, key=lambda one: analysis.sizes.of[one.strong])


def _weak_names(analysis: Analysis) -> list[str]:
    finished = (one.weak for one in analysis.report.pairings if one.methods)
    return sorted(set(finished), key=lambda name: analysis.sizes.of[name])


def _line(axes: Axes, sizes: Sizes, answers: list[PairingAnswer], place: int, field: str, scale: float) -> None:
    """Draws the best filled with its interval, and the naive default hollow, for the pairings of one weak model."""
    color, marker = style(place)
    for kind, line, face in (("best", "-", color), ("default", "--", "white")):
        points = [p for answer in answers if (p := _point(sizes, answer, kind, field, place)) and p[1] is not None]
        ys = [scale * (value or 0) for _, value, _ in points]
        axes.plot([x for x, _, _ in points], ys, marker=marker, linestyle=line, color=color, markerfacecolor=face,
                  markersize=6, linewidth=1.2, zorder=3)  # fmt: skip
        for x, _, interval in points if kind == "best" else ():
            if interval and interval.low is not None and interval.high is not None:
                axes.plot([x, x], [scale * interval.low, scale * interval.high], color=color, linewidth=1, zorder=2)


def _point(sizes: Sizes, answer: PairingAnswer, kind: str, field: str, place: int) -> Point | None:
    found: MethodAnswer | None = answer.best_answer if kind == "best" else answer.naive_default
    if found is None:
        return None
    # Lines of different weak models stand a little apart, or their intervals would hide each other.
    x = sizes.of[answer.strong] * (1.04**place if sizes.is_count else 1) + (0 if sizes.is_count else 0.05 * place)
    if field in ("weak_right", "weak_wrong"):
        return x, getattr(found.agreement, field), None
    interval: Interval = getattr(found, field)
    return x, interval.estimate, interval


def _size_axis(axes: Axes, analysis: Analysis) -> None:
    sizes = analysis.sizes
    strong = sorted({answer.strong for answer in analysis.report.pairings}, key=lambda name: sizes.of[name])
    axes.set_xlabel(f"Strong model, {sizes.label}")
    if sizes.is_count:
        axes.set_xscale("log")
        return
    axes.set_xticks([sizes.of[name] for name in strong], strong)
    axes.set_xlim(min(sizes.of[name] for name in strong) - 0.5, max(sizes.of[name] for name in strong) + 0.5)


def _weak_handles(analysis: Analysis) -> list[Line2D]:
    names = [name for name, _ in _by_weak(analysis)]
    return [handle(f"weak: {name}", style(place)[0], "-", style(place)[1]) for place, name in enumerate(names)]


def _student_handles() -> list[Line2D]:
    return [handle("best method", WEAK, "-", "o"), handle("naive default", WEAK, "--", "o", "white")]


def _student_color(name: str) -> str:
    return method_style(name.removeprefix("best: "))[0] if name.startswith("best: ") else "#56B4E9"


def _calibration_look(name: str) -> Line2D:
    looks: Mapping[str, tuple[str, Line, str]] = {
        "weak": (WEAK, "--", "x"),
        "ceiling": (CEILING, ":", "*"),
    }
    color, line, marker = looks.get(name, (_student_color(name), "-", "o"))
    return handle({"weak": "weak supervisor"}.get(name, name), color, line, marker)


def _broken(way: str) -> str:
    """Breaks a long name in two lines near its middle."""
    words = way.split(" ")
    cut = int(np.argmin([abs(len(" ".join(words[:i])) - len(way) / 2) for i in range(1, len(words))])) + 1
    return "\n".join((" ".join(words[:cut]), " ".join(words[cut:])))
