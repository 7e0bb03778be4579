"""The figures of a report with their captions and alternative texts, as far as there is something to draw."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from w2s_ray.report import figures, paper_figures, search_figures
from w2s_ray.report.analyses import Analysis
from w2s_ray.report.searching import numeric_pairs
from w2s_ray.report.wording import percent, points, ratio, share
from w2s_ray.search.record import PRUNED


@dataclass(frozen=True)
class Picture:
    """A figure: `draw` takes the number of columns; `alt` says in words what it shows; `key` names its files."""

    key: str
    caption: str
    alt: str
    draw: Callable[[int], Figure]


def pictures_of(analysis: Analysis) -> dict[str, Picture]:
    """Returns the figures of a sweep by key; none without a finished trial."""
    return {picture.key: picture for picture in _pictures(analysis)}


def _pictures(analysis: Analysis) -> Iterator[Picture]:
    report, record = analysis.report, analysis.record
    if not any(pairing.methods for pairing in report.pairings):
        return
    yield Picture(
        "accuracy",
        "Test accuracy of the chosen trial of each method, with 95 % intervals; bands are those of weak supervisor and "
        "ceiling.",
        "Test accuracies. " + _accuracies(analysis),
        partial(figures.accuracy_figure, report),
    )
    yield Picture(
        "pgr",
        "Performance gap recovered: 0 is the weak supervisor, 1 the ceiling. An arrow marks an interval that goes on.",
        "PGR of each method. " + _pgrs(analysis),
        partial(figures.pgr_figure, report),
    )
    yield from _paper(analysis)
    yield Picture(
        "search",
        "Validation accuracy of each trial in the order of the search, and the best so far.",
        f"{len(analysis.trials)} finished trials in the order of the search, with the best so far as a rising line.",
        partial(figures.search_figure, report, record),
    )
    yield from _search(analysis)


def _paper(analysis: Analysis) -> Iterator[Picture]:
    yield Picture(
        "size",
        "Accuracy and PGR against the strong model, a line for each weak model. Size is the parameter count where the "
        "store holds all weights, otherwise the order of depth.",
        "Accuracy and PGR against strong model size. " + _accuracies(analysis),
        partial(paper_figures.size_figure, analysis),
    )
    yield Picture(
        "agreement",
        "Agreement with the supervisor on test examples, where it is right and where it is wrong. A student that only "
        "imitates repeats all errors: 100 % in the second panel.",
        "Agreement with the supervisor against strong model size. " + _agreements(analysis),
        partial(paper_figures.agreement_figure, analysis),
    )
    yield Picture(
        "curves",
        "Learning curves on the validation split, mean over the seeds. Accuracy that falls while agreement rises is "
        "overfitting to the weak supervisor's errors. Each seed stops at its own step, so the mean of its stops may "
        "lie off the curve.",
        "Learning curves of the naive default and the best trial. " + _stops(analysis),
        partial(paper_figures.curves_figure, analysis),
    )
    yield Picture(
        "calibration",
        "Reliability: below the diagonal a model is surer than it is right.",
        "Reliability curves. " + _errors(analysis),
        partial(paper_figures.calibration_figure, analysis),
    )
    if any(pairing.saliency for pairing in analysis.pairings):
        yield Picture(
            "saliency",
            "How linearly the strong model represents the task, on the test split, with 95 % intervals. lp: a linear "
            "probe on the model's features; ft: the model finetuned. Where ft weak, lp truth is above lp truth, "
            "finetuning on weak labels made the task more linear. Bars begin at 50 % if all are above.",
            "Bars of linear probes and finetunings. " + _bars(analysis),
            partial(paper_figures.saliency_figure, analysis),
        )
    if any(pairing.choices for pairing in analysis.pairings):
        yield Picture(
            "choices",
            "What choosing hyper-parameters without all of ground truth costs on the test split, with 95 % intervals. "
            "Left of 0 it did better, by chance.",
            "Regret of each way to choose hyper-parameters, with intervals; the numbers are in the table below.",
            partial(paper_figures.choices_figure, analysis),
        )


def _search(analysis: Analysis) -> Iterator[Picture]:
    if analysis.importances:
        first = analysis.importances[0]
        yield Picture(
            "importance",
            "Importance of the parameters. A pale bar does not reach the black line: chance alone would give as much.",
            f"Bars of importance; the largest is {first.parameter} with {share(first.share)}.",
            partial(search_figures.importance_figure, analysis),
        )
    if [name for name in search_figures.ordered_parameters(analysis) if name != "method"]:
        yield Picture(
            "slices",
            "Score of every finished trial against one parameter at a time. Score: points above the pairing's mean.",
            "Scatter plots of score against each searched parameter.",
            partial(search_figures.slices_figure, analysis),
        )
    pair = numeric_pairs(analysis.record.sweep, analysis.trials, search_figures.ordered_parameters(analysis))
    if pair:
        yield Picture(
            "contour",
            "Score over the two most important numeric parameters, interpolated between the trials (circles).",
            f"Contours of the score over {pair[0]} and {pair[1]}.",
            partial(search_figures.contour_figure, analysis),
        )
    if any(trial.intermediate for trial in analysis.record.trials):
        pruned = sum(trial.state == PRUNED for trial in analysis.record.trials)
        yield Picture(
            "racing",
            "Validation accuracy along the training of every trial's first seed, which is what a pruner sees.",
            f"Learning curves of all trials; {pruned} were pruned, and each of those ends in a cross.",
            partial(search_figures.racing_figure, analysis),
        )
    yield Picture(
        "timeline",
        "When each trial ran and how it ended. A result enters the study when its turn has come, so a bar may end "
        "later than its trainings.",
        f"Bars from start to end of {len(analysis.record.trials)} trials.",
        partial(search_figures.timeline_figure, analysis),
    )


def _accuracies(analysis: Analysis) -> str:
    parts = []
    for pairing in (one for one in analysis.report.pairings if one.methods):
        students = ", ".join(f"{one.method} {percent(one.student)}" for one in pairing.methods)
        low, high = share(pairing.weak_accuracy.estimate), share(pairing.ceiling_accuracy.estimate)
        parts.append(f"{pairing.name}: weak {low}, {students}, ceiling {high}.")
    return " ".join(parts)


def _pgrs(analysis: Analysis) -> str:
    found = [one for one in analysis.report.pairings if one.methods]
    each = (f"{one.name}: {', '.join(f'{m.method} {ratio(m.pgr)}' for m in one.methods)}." for one in found)
    return " ".join(each)


def _agreements(analysis: Analysis) -> str:
    best = [(one.name, one.best_answer) for one in analysis.report.pairings]
    return " ".join(
        f"{name}, best: {share(one.agreement.weak_right)} where right, {share(one.agreement.weak_wrong)} where wrong."
        for name, one in best
        if one is not None
    )


def _stops(analysis: Analysis) -> str:
    return " ".join(
        f"{pairing.answer.name}, {name}: {share(curve.last.accuracy)} at the end, "
        f"{share(curve.truth_stopped.accuracy)} at best."
        for pairing in analysis.pairings
        for name, curve in pairing.curves.items()
    )


def _bars(analysis: Analysis) -> str:
    return " ".join(
        f"{pairing.answer.name}: {', '.join(f'{name} {percent(bar)}' for name, bar in found.bars.items())}; the gain "
        f"of ft weak, lp truth over lp truth is {points(found.gain)}, {ratio(found.closed)} of the gap to ft truth."
        for pairing in analysis.pairings
        if (found := pairing.saliency) is not None
    )


def _errors(analysis: Analysis) -> str:
    return " ".join(
        f"{pairing.answer.name}: calibration errors {', '.join(f'{n} {share(o.ece)}' for n, o in found.items())}."
        for pairing in analysis.pairings
        if (found := pairing.calibration)
    )
