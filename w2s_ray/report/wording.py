"""The answer in sentences, and what has to be said with it. Plain text: the terminal and Markdown say the same.

Accuracies are in per cent with one decimal, their differences in points, PGR with two decimals; an interval stands in
brackets behind its estimate.
"""

from collections import Counter
from collections.abc import Mapping

from w2s_ray.report.answers import PairingAnswer, Report, Selection
from w2s_ray.report.confirmed import Confirmed, Retested
from w2s_ray.report.cost import Cost
from w2s_ray.report.selecting import ORACLE
from w2s_ray.report.statistics import Interval
from w2s_ray.spec.method import Value, labels_know_truth

NONE = "–"
_OVERLAP = (
    "All models of a pairing meet the same test examples, so two of them can differ clearly while their own intervals "
    "overlap; the comparison with the naive default is paired."
)
_CONFIRMED = (
    "A trial is best partly by luck: of the validation examples that chose it, and of its seeds. What is measured on "
    "test with fresh seeds is free of both; the naive default was trained again with the same fresh seeds."
)


def percent(interval: Interval) -> str:
    """Returns an accuracy as in `76.3 % [75.0, 77.6]`."""
    if interval.estimate is None or interval.low is None or interval.high is None:
        return NONE
    return f"{100 * interval.estimate:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """Returns a difference of accuracies as in `+1.2 points [0.3, 2.1]`."""
    if interval.estimate is None or interval.low is None or interval.high is None:
        return NONE
    numbers = (f"{100 * value + 0.0:.1f}" for value in (interval.low, interval.high))
    return f"{signed(interval.estimate)} points [{', '.join(_no_minus_zero(number) for number in numbers)}]"


def ratio(interval: Interval) -> str:
    """Returns a PGR as in `0.42 [0.10, 0.81]`, or `undefined`."""
    if interval.estimate is None or interval.low is None or interval.high is None:
        return "undefined"
    estimate, low, high = (_no_minus_zero(f"{value:.2f}") for value in (interval.estimate, interval.low, interval.high))
    return f"{estimate} [{low}, {high}]"


def share(value: float | None) -> str:
    """Returns a fraction in per cent as in `91.0 %`."""
    return NONE if value is None else f"{100 * value:.1f} %"


def settings(params: Mapping[str, Value]) -> str:
    """Returns parameters as in `lr=0.002, epochs=7`; says so if ground truth helped the student in a way it may not."""
    shown = (f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items())
    told = " (its labels know ground truth)" if labels_know_truth(params) else ""
    stopped = " (stopped by ground truth, a cheat)" if params.get("select") == "truth" else ""
    probed = " (its probe learned ground truth, a cheat)" if params.get("probe_labels") == "truth" else ""
    return (", ".join(shown) or "the model's own") + told + stopped + probed


def answer_of(pairing: PairingAnswer) -> str:
    """Returns the answer for one pairing: which method, how much of the gap, and whether it beats the naive default."""
    best = pairing.best_answer
    if best is None:
        return "no trial has finished yet."
    accuracies = (
        f"weak {share(pairing.weak_accuracy.estimate)}, student {share(best.student.estimate)}, "
        f"ceiling {share(pairing.ceiling_accuracy.estimate)}"
    )
    if best.pgr.is_defined:
        head = f"{best.method}, best on validation, recovers {ratio(best.pgr)} of the gap ({accuracies})."
    else:
        head = f"{best.method} is best on validation; its PGR is undefined ({accuracies})."
    again = f" {confirmed_sentence(pairing.confirmed)}" if pairing.confirmed else ""
    return f"{head} {_against_default(pairing)}{again}"


def confirmed_sentence(confirmed: Confirmed) -> str:
    """Returns what fresh seeds leave of the best trial, and what choosing by examples and by seeds had added."""
    seeds = f"seed{'s' if len(confirmed.seeds) > 1 else ''} {', '.join(map(str, confirmed.seeds))}"
    head = (
        f"Trained again with fresh {seeds}, which no trial used, it has {percent(confirmed.best.fresh)} and a PGR of "
        f"{ratio(confirmed.pgr)}."
    )
    if confirmed.lead is None:
        look = confirmed.best
        steps = [share(one.estimate) for one in (look.validation, look.test, look.fresh)]
        return f"{head} {_three_looks('Its accuracy is', steps, look)}"
    steps = [points(one) for one in (confirmed.lead.validation, confirmed.lead.test, confirmed.lead.fresh)]
    return f"{head} {_three_looks('Its lead over the naive default is', steps, confirmed.lead)}"


def _three_looks(what: str, steps: list[str], look: Retested) -> str:
    return (
        f"{what} {steps[0]} on validation, {steps[1]} on test, and {steps[2]} on test with fresh seeds: its examples "
        f"flattered it by {points(look.by_examples)}{_clear(look.by_examples)}, its seeds by "
        f"{points(look.by_seeds)}{_clear(look.by_seeds)}."
    )


def _clear(interval: Interval) -> str:
    return "" if interval.excludes_zero else " (not clear)"


def headline_of(report: Report) -> str:
    """Returns which method is best in how many pairings, and in how many it clearly beats the naive default."""
    best = Counter(pairing.best for pairing in report.pairings if pairing.best)
    if not best:
        return "No trial has finished yet."
    count = len(report.pairings)
    wins = ", ".join(f"{method} in {wins}" for method, wins in best.most_common())
    clear = [one for one in report.pairings if one.improvement and one.improvement.excludes_zero]
    better = sum((one.improvement.estimate or 0) > 0 for one in clear if one.improvement)
    worse = f" and is clearly worse in {len(clear) - better}" if len(clear) > better else ""
    pairings = "the pairing" if count == 1 else f"{count} pairings"
    return (
        f"Best on validation of {pairings}: {wins}. It beats the naive default at 95 % in {better} of {count}{worse}."
    )


def cost_sentence(cost: Cost) -> str:
    """Returns what the sweep spent and what sharing saved."""
    clock = "" if cost.wall_seconds is None else f", within {duration(cost.wall_seconds)} by the clock"
    return (
        f"It took {cost.trained} trainings and {duration(cost.seconds)} of stage time{clock}; {cost.reused} times a "
        f"model was found instead of trained again, which saved {duration(cost.seconds_saved)}."
    )


def duration(seconds: float) -> str:
    """Returns a time as in `45 s`, `3.5 min` or `2.1 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def notes_of(report: Report) -> list[str]:
    """Returns what a reader has to know to trust the numbers neither too little nor too much."""
    notes = [_selection_note(report), _interval_note(report), _OVERLAP]
    if any(pairing.confirmed for pairing in report.pairings):
        notes.append(_CONFIRMED)
    if len(report.pairings) > 1:
        notes.append("Compare PGR within a pairing: across pairings the smallest gap has the noisiest PGR.")
    for pairing in report.pairings:
        notes += [f"{pairing.name}: {note}" for note in _pairing_notes(pairing)]
    return [*notes, *(note for note in (report.easy_to_hard, report.left_out) if note), _count_note(report)]


def _against_default(pairing: PairingAnswer) -> str:
    best, default, difference = pairing.best_answer, pairing.naive_default, pairing.improvement
    if best is None or default is None or difference is None or difference.estimate is None:
        return "The naive default has no finished trial to compare with."
    if best.trial == default.trial:
        return "That is the naive default itself: no other trial did better on validation."
    if not difference.excludes_zero:
        return f"Against the naive default it makes no clear difference at 95 %: {points(difference)}."
    verb = "beats" if difference.estimate > 0 else "is worse than"
    return f"It {verb} the naive default at 95 %: {points(difference)}."


def _selection_note(report: Report) -> str:
    labels = "ground truth (oracle)" if report.selected_by == ORACLE else "the weak supervisor's labels (weak)"
    tested = "" if report.num_test is None else f" of {report.num_test:,} examples"
    return (
        f"Trials were chosen by mean validation accuracy against {labels}. The test split{tested} took part in no "
        "choice; all accuracies and PGRs here are measured on it."
    )


def _interval_note(report: Report) -> str:
    seeds = f"seed{'s' if len(report.seeds) > 1 else ''} {', '.join(map(str, report.seeds))}"
    shown = sum(len(pairing.methods) for pairing in report.pairings)
    many = f" None is corrected for there being {shown} of them." if shown > 1 else ""
    if len(report.seeds) == 1:
        what = (
            f"over test examples alone: with one seed ({seeds[5:]}) nothing is known of how much another would change"
        )
    else:
        what = f"over test examples and {seeds} together, paired"
    few = " With two seeds they are a little too narrow." if len(report.seeds) == 2 else ""
    return f"Intervals are 95 % each, {what}.{few}{many}"


def _pairing_notes(pairing: PairingAnswer) -> list[str]:
    notes = []
    if pairing.methods and not pairing.methods[0].pgr.is_defined:
        notes.append(
            "PGR is undefined because the ceiling is not clearly above the weak model: "
            f"{points(pairing.gap)}. More seeds, more test examples or models further apart would tell."
        )
    if pairing.unfinished:
        notes.append(f"no finished trial of {', '.join(pairing.unfinished)}.")
    if pairing.unconfirmed:
        notes.append(f"{pairing.unconfirmed}.")
    if pairing.selection is not None:
        notes.append(_regret(pairing.selection))
    return notes


def _regret(selection: Selection) -> str:
    if selection.oracle == selection.weak:
        return f"ground truth and weak labels choose the same trial, number {selection.oracle}."
    return (
        f"chosen with ground truth, trial {selection.oracle} ({selection.oracle_method}) has "
        f"{share(selection.oracle_accuracy)}; chosen with weak labels, trial {selection.weak} "
        f"({selection.weak_method}) has {share(selection.weak_accuracy)}. "
        f"Having ground truth to choose with is worth {points(selection.regret)}."
    )


def _count_note(report: Report) -> str:
    states: Counter[str] = Counter()
    for pairing in report.pairings:
        states.update(pairing.states)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"Trials: {counts or 'none'}, of {report.budget} asked for."


def signed(value: float) -> str:
    """Returns a difference of fractions in points, with its sign, as in `+1.2`; nought has none."""
    text = _no_minus_zero(f"{100 * value:.1f}")
    return text if text.startswith("-") or float(text) == 0 else f"+{text}"


def _no_minus_zero(text: str) -> str:
    return text[1:] if text.startswith("-") and float(text) == 0 else text
