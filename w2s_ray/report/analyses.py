"""All that is read out of a finished sweep beyond its answer, in one computation that page, tables and figures share.

For each pairing two students are looked at closely: the naive default, which is the paper's baseline, and the best
method's chosen trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from w2s_ray.report.answers import CONFIDENCE, PairingAnswer, Report, answers
from w2s_ray.report.bench import Bench
from w2s_ray.report.calibration import Calibration, calibration
from w2s_ray.report.cost import Cost, cost_of
from w2s_ray.report.saliency import Saliency, saliency
from w2s_ray.report.searching import Importance, Scored, importances, scored
from w2s_ray.report.selecting import ORACLE, WEAK, Choice, Optimism, compare_choices, optimism
from w2s_ray.report.sizes import Sizes, sizes_of
from w2s_ray.report.stopping import LearningCurve, learning_curve
from w2s_ray.search.record import SweepRecord, TrialRecord, contenders

NAIVE_DEFAULT = "naive default"


@dataclass(frozen=True)
class PairingAnalysis:
    """A pairing, looked at closely.

    Attributes:
        answer: what was found.
        students: name to the trial that is looked at; `naive default` and the best method, as far as they finished.
        curves: name of a student to its learning curve.
        calibration: `weak`, the students' names and `ceiling` to how well their probabilities fit.
        choices: every way to choose hyper-parameters; empty where a finished trial lacks one of the objectives.
        optimism: of the chosen trial; None likewise.
        saliency: linear probes before and after finetuning; None where the sweep does not hold all of them.
    """

    answer: PairingAnswer
    students: Mapping[str, TrialRecord]
    curves: Mapping[str, LearningCurve]
    calibration: Mapping[str, Calibration]
    choices: tuple[Choice, ...]
    optimism: Optimism | None
    saliency: Saliency | None


@dataclass(frozen=True)
class Analysis:
    """A sweep with its answer and what explains it; everything that a report shows is in here."""

    record: SweepRecord
    report: Report
    pairings: tuple[PairingAnalysis, ...]
    sizes: Sizes
    trials: tuple[Scored, ...]
    importances: tuple[Importance, ...]
    cost: Cost


def analyse(record: SweepRecord) -> Analysis:
    """Answers and explains a sweep as it is; may be called while it runs. Raises as `answers`."""
    bench = Bench(record.store)
    report = answers(record, bench)
    trials = tuple(scored(record))
    return Analysis(
        record=record,
        report=report,
        pairings=tuple(_pairing(record, bench, answer) for answer in report.pairings),
        sizes=sizes_of(record),
        trials=trials,
        importances=importances(record.sweep, trials),
        cost=cost_of(record),
    )


def _pairing(record: SweepRecord, bench: Bench, answer: PairingAnswer) -> PairingAnalysis:
    finished = record.of(answer.name)
    students = _students(finished, answer)
    tunable = bool(finished) and all({ORACLE, WEAK} <= trial.values.keys() for trial in finished)
    return PairingAnalysis(
        answer=answer,
        students=students,
        curves={name: _curve(record, trial) for name, trial in students.items()},
        calibration=_calibration(bench, finished, students),
        choices=compare_choices(bench, contenders(finished), CONFIDENCE) if tunable else (),
        optimism=optimism(bench, contenders(finished), record.sweep.objective.labels) if tunable else None,
        saliency=saliency(bench, finished, record.sweep.objective.labels, CONFIDENCE),
    )


def _students(finished: Sequence[TrialRecord], answer: PairingAnswer) -> dict[str, TrialRecord]:
    """Names the students that are looked at; where the best is the naive default itself, that alone."""
    by_number = {trial.number: trial for trial in finished}
    default, best = answer.naive_default, answer.best_answer
    named = {NAIVE_DEFAULT: by_number[default.trial]} if default else {}
    if best and not (default and best.trial == default.trial):
        named[f"best: {best.method}"] = by_number[best.trial]
    return named


def _curve(record: SweepRecord, trial: TrialRecord) -> LearningCurve:
    return learning_curve([record.store.get(address).curve() for address in trial.stages["student"]])


def _calibration(
    bench: Bench, finished: Sequence[TrialRecord], students: Mapping[str, TrialRecord]
) -> dict[str, Calibration]:
    if not finished:
        return {}
    stages = {
        "weak": finished[0].stages["weak"],
        **{name: trial.stages["student"] for name, trial in students.items()},
        "ceiling": finished[0].stages["ceiling"],
    }
    return {name: calibration(bench.test(addresses)) for name, addresses in stages.items()}
