"""From a sweep to its answer: for each pairing, which method recovers how much of the gap, and how sure that is.

Trials are chosen by the validation split alone, in the way the sweep's objective says; the test split is opened for the
chosen ones, so its numbers carry no selection. What the other objective would have chosen is tested too: the difference
is what it costs to have no ground truth to tune with. Nothing here decides anything by a test number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from w2s_ray.report.bench import Agreement, Bench, Tested, agreement
from w2s_ray.report.confirmed import Confirmed, Retested, confirmed_of, why_unconfirmed
from w2s_ray.report.selecting import ORACLE, WEAK
from w2s_ray.report.statistics import UNDEFINED, Interval, accuracy_interval, difference_interval, pgr_interval
from w2s_ray.search.record import COMPLETE, SweepRecord, TrialRecord, choose, contenders
from w2s_ray.spec.method import Value
from w2s_ray.spec.model import Pairing
from w2s_ray.tasks import difficulty
from w2s_ray.tasks.clean import in_words

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MethodAnswer:
    """A chosen trial of a method, tested.

    Attributes:
        trial: its number.
        num_compared: finished trials it was chosen from.
        validation: its objective on the validation split.
        student: accuracy on the test split.
        pgr: performance gap recovered, undefined where the ceiling is not clearly above the weak model.
    """

    method: str
    trial: int
    params: Mapping[str, Value]
    selected_by: str
    num_compared: int
    validation: float
    student: Interval
    pgr: Interval
    agreement: Agreement


@dataclass(frozen=True)
class Selection:
    """What either objective chooses among all finished trials of a pairing.

    Attributes:
        oracle, weak: number of the trial chosen with ground truth, and with the weak labels.
        oracle_method, weak_method: their methods.
        oracle_accuracy, weak_accuracy: of their students on the test split.
        regret: test accuracy lost by choosing with the weak labels; may come out negative by chance.
    """

    oracle: int
    weak: int
    oracle_method: str
    weak_method: str
    oracle_accuracy: float
    weak_accuracy: float
    regret: Interval


@dataclass(frozen=True)
class PairingAnswer:
    """What came out for a pairing. Intervals are undefined and `best` is None while no trial is finished.

    Attributes:
        gap: ceiling minus weak test accuracy.
        methods: the chosen trial of each method that has a finished one, in the sweep's order.
        unfinished: the methods that have none.
        best: the name of the method that is best on the validation split.
        naive_default: the naive method untuned, what everything is compared to; None if that trial did not finish.
        improvement: test accuracy of the best method's student minus that of the naive default; None without either.
        selection: None if a finished trial lacks one of the objectives.
        states: trials by state.
        confirmed: the best trial with fresh seeds; None if none was asked for, or it is not there.
        unconfirmed: why it is not there, in words; empty if it is, or none was asked for.
    """

    name: str
    weak: str
    strong: str
    weak_accuracy: Interval
    ceiling_accuracy: Interval
    gap: Interval
    methods: tuple[MethodAnswer, ...]
    unfinished: tuple[str, ...]
    best: str | None
    naive_default: MethodAnswer | None
    improvement: Interval | None
    selection: Selection | None
    states: Mapping[str, int]
    confirmed: Confirmed | None = None
    unconfirmed: str = ""

    @property
    def best_answer(self) -> MethodAnswer | None:
        """The entry of `methods` that is called `best`."""
        return next((answer for answer in self.methods if answer.method == self.best), None)


@dataclass(frozen=True)
class Report:
    """The answer of a sweep, as far as it is.

    Attributes:
        task: its source, as the spec names it.
        selected_by: whose labels trials were chosen with, `oracle` or `weak`.
        num_test: examples of the test split; None while no trial is finished.
        budget: trials that the spec asks for, over all pairings.
        fresh_seeds: those that the best trials are confirmed with; none if they are not.
        left_out: which rows of the data were unfit, in words; empty if none or while no trial is finished.
        easy_to_hard: how easy and hard examples were told apart, in words; empty if they were not, or likewise.
    """

    sweep: str
    task: str
    seeds: tuple[int, ...]
    selected_by: str
    num_test: int | None
    budget: int
    left_out: str
    easy_to_hard: str
    pairings: tuple[PairingAnswer, ...]
    fresh_seeds: tuple[int, ...] = ()


def answers(record: SweepRecord, bench: Bench | None = None) -> Report:
    """Tests the chosen trials of every pairing and method.

    Args:
        record: the sweep as it is.
        bench: what reads its models; give one to share what it has read.

    Raises:
        KeyError: a finished trial's stage is no longer in the store.
        ValueError: trials of one pairing were measured against different baselines.
    """
    bench = bench or Bench(record.store)
    data = _data(record)
    return Report(
        sweep=record.sweep.name,
        task=record.sweep.task.source,
        seeds=record.sweep.seeds,
        selected_by=record.sweep.objective.labels,
        num_test=_num_test(record, bench),
        budget=record.sweep.search.trials,
        left_out=in_words(data),
        easy_to_hard=difficulty.in_words(data),
        fresh_seeds=record.sweep.fresh_seeds,
        pairings=tuple(_pairing_answer(record, bench, pairing) for pairing in record.sweep.pairings),
    )


def to_json(report: Report) -> dict[str, Any]:
    """Returns the stable, machine-readable part: plain data, accuracies from 0 to 1, null for what is undefined."""
    pairings = [
        {
            "weak": pairing.weak,
            "strong": pairing.strong,
            "weak_accuracy": pairing.weak_accuracy.estimate,
            "ceiling_accuracy": pairing.ceiling_accuracy.estimate,
            "methods": [_method_json(answer, report.seeds) for answer in pairing.methods],
            **({"confirmed": _confirmed_json(pairing.confirmed)} if report.fresh_seeds else {}),
        }
        for pairing in report.pairings
    ]
    return {"sweep": report.sweep, "task": report.task, "pairings": pairings}


def _method_json(answer: MethodAnswer, seeds: tuple[int, ...]) -> dict[str, Any]:
    return {
        "method": answer.method,
        "student_accuracy": answer.student.estimate,
        "pgr": answer.pgr.estimate,
        "pgr_low": answer.pgr.low,
        "pgr_high": answer.pgr.high,
        "params": dict(answer.params),
        "seeds": list(seeds),
        "selected_by": answer.selected_by,
    }


def _confirmed_json(confirmed: Confirmed | None) -> dict[str, Any] | None:
    """What fresh seeds leave of the best trial; the names of intervals end in _low and _high."""
    if confirmed is None:
        return None
    looks = {"student": confirmed.best, "naive_default": confirmed.default, "lead": confirmed.lead}
    intervals = {"weak_accuracy": confirmed.weak, "ceiling_accuracy": confirmed.ceiling, "pgr": confirmed.pgr}
    return {
        "method": confirmed.method,
        "trial": confirmed.trial,
        "seeds": list(confirmed.seeds),
        **{key: value for name, interval in intervals.items() for key, value in interval.named(name).items()},
        **{name: _retested_json(retested) for name, retested in looks.items()},
    }


def _retested_json(retested: Retested | None) -> dict[str, float | None] | None:
    if retested is None:
        return None
    intervals: dict[str, Interval] = vars(retested)
    return {key: value for name, interval in intervals.items() for key, value in interval.named(name).items()}


def _pairing_answer(record: SweepRecord, bench: Bench, pairing: Pairing) -> PairingAnswer:
    labels = record.sweep.objective.labels
    finished = record.of(pairing.name)
    by_method = {method: record.of(pairing.name, method) for method in record.sweep.methods}
    methods = tuple(_method_answer(bench, trials, labels) for trials in by_method.values() if trials)
    weak, ceiling, gap = _baselines(bench, finished)
    default, best = record.naive_default(pairing.name), record.best(pairing.name)
    return PairingAnswer(
        name=pairing.name,
        weak=pairing.weak,
        strong=pairing.strong,
        weak_accuracy=weak,
        ceiling_accuracy=ceiling,
        gap=gap,
        methods=methods,
        unfinished=tuple(method for method, trials in by_method.items() if not trials),
        best=best.method if best else None,
        naive_default=_method_answer(bench, [default], labels) if default else None,
        improvement=_difference(bench, best, default) if best and default else None,
        selection=_selection(bench, finished),
        states=_states(record, pairing.name),
        confirmed=confirmed_of(record, bench, pairing.name, CONFIDENCE),
        unconfirmed=why_unconfirmed(record, pairing.name),
    )


def _method_answer(bench: Bench, trials: Sequence[TrialRecord], labels: str) -> MethodAnswer:
    trial = choose(trials, labels)
    weak, ceiling, student = (_test(bench, trial, role) for role in ("weak", "ceiling", "student"))
    _assert_same_examples(weak, ceiling, student)
    return MethodAnswer(
        method=trial.method,
        trial=trial.number,
        params=dict(trial.params),
        selected_by=labels,
        num_compared=len(contenders(trials)),
        validation=trial.values[labels],
        student=accuracy_interval(student.correct, CONFIDENCE),
        pgr=pgr_interval(weak.correct, student.correct, ceiling.correct, CONFIDENCE),
        agreement=agreement(student, weak),
    )


def _baselines(bench: Bench, finished: Sequence[TrialRecord]) -> tuple[Interval, Interval, Interval]:
    """Returns the accuracies of weak model and ceiling, and their difference; they are the pairing's, not a trial's."""
    if not finished:
        return UNDEFINED, UNDEFINED, UNDEFINED
    _check_baselines(finished)
    weak, ceiling = _test(bench, finished[0], "weak").correct, _test(bench, finished[0], "ceiling").correct
    return (
        accuracy_interval(weak, CONFIDENCE),
        accuracy_interval(ceiling, CONFIDENCE),
        difference_interval(ceiling, weak, CONFIDENCE),
    )


def _check_baselines(finished: Sequence[TrialRecord]) -> None:
    """Refuses trials measured against different models, as happens when the code changed its version in between."""
    first = finished[0]
    for trial in finished:
        for role in ("weak", "ceiling"):
            if trial.stages[role] != first.stages[role]:
                raise ValueError(
                    f"{trial.pairing}: trials {first.number} and {trial.number} were measured against different {role} "
                    "models, so they cannot be compared; run the sweep under a new name with this version of w2s_ray"
                )


def _selection(bench: Bench, finished: Sequence[TrialRecord]) -> Selection | None:
    if not finished or any(labels not in trial.values for trial in finished for labels in (ORACLE, WEAK)):
        return None
    oracle, weak = choose(finished, ORACLE), choose(finished, WEAK)
    return Selection(
        oracle=oracle.number,
        weak=weak.number,
        oracle_method=oracle.method,
        weak_method=weak.method,
        oracle_accuracy=float(_test(bench, oracle, "student").correct.mean()),
        weak_accuracy=float(_test(bench, weak, "student").correct.mean()),
        regret=_difference(bench, oracle, weak),
    )


def _difference(bench: Bench, a: TrialRecord, b: TrialRecord) -> Interval:
    one, other = _test(bench, a, "student"), _test(bench, b, "student")
    _assert_same_examples(one, other)
    return difference_interval(one.correct, other.correct, CONFIDENCE)


def _test(bench: Bench, trial: TrialRecord, role: str) -> Tested:
    return bench.test(trial.stages[role])


def _assert_same_examples(*models: Tested) -> None:
    for model in models[1:]:
        assert model.ids.tolist() == models[0].ids.tolist(), "models of a pairing were tested on different examples"


def _states(record: SweepRecord, pairing: str) -> dict[str, int]:
    states = [trial.state for trial in record.trials if trial.pairing == pairing]
    return {state: states.count(state) for state in sorted(set(states))}


def _num_test(record: SweepRecord, bench: Bench) -> int | None:
    trial = next((trial for trial in record.trials if trial.state == COMPLETE), None)
    return len(_test(bench, trial, "student").ids) if trial else None


def _data(record: SweepRecord) -> Mapping[str, Any]:
    """Returns the summary of the examples; empty while no trial is finished."""
    trial = next((trial for trial in record.trials if trial.state == COMPLETE), None)
    if trial is None:
        return {}
    student = record.store.get(trial.stages["student"][0]).record
    return record.store.get(student.identity["inputs"]["examples"]).record.summary
