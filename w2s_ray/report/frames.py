"""A sweep as pandas tables, for a notebook: `w2s_ray.load("quickstart").results`.

The numbers are those of the report, unrounded. What does not exist for a row (a parameter of another method, a value of
a trial that was pruned) is missing, not 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from w2s_ray.report.answers import MethodAnswer, PairingAnswer, Report, answers
from w2s_ray.report.statistics import Interval
from w2s_ray.report.tables import DEFAULT_ROW
from w2s_ray.search.record import SweepRecord, TrialRecord

_TRIAL = ("pairing", "weak", "strong", "method", "default", "state", "oracle", "weak_labels", "last_step", "started",
          "finished", "error")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Loaded:
    """A sweep as it was when it was loaded.

    Attributes:
        trials: a row for each trial, with its number as index: `pairing`, `weak`, `strong`, `method`, `default`,
            `state`; mean validation accuracy against ground truth (`oracle`) and against the weak labels
            (`weak_labels`), from 0 to 1; `last_step` of the first seed; `started` and `finished` (UTC); `error`; and a
            column `params.NAME` for each parameter.
        results: a row for each pairing and method, and for its naive default: `trial`, `best` (on validation),
            `num_compared`; and on the test split `student`, `pgr`, `weak_accuracy`, `ceiling_accuracy`, each with
            `_low` and `_high` (95 %), and the agreement with the weak labels, `agreement`, where the supervisor is
            right and where it is wrong. Where the spec asks for confirmation, the best method's row and its naive
            default's also have `confirmed_student`, with limits, and the best's `confirmed_pgr`: with fresh seeds.
        record: what both were made of, with the store behind it.
        report: the answer that the command line prints.
    """

    trials: pd.DataFrame
    results: pd.DataFrame
    record: SweepRecord
    report: Report


def frames_of(record: SweepRecord) -> Loaded:
    """Returns the tables of a sweep as it is; may be called while it runs. Raises as `answers`."""
    report = answers(record)
    return Loaded(trials=_trials(record), results=_results(report), record=record, report=report)


def _trials(record: SweepRecord) -> pd.DataFrame:
    rows = [_trial(trial) for trial in record.trials]
    index = pd.Index([trial.number for trial in record.trials], name="trial", dtype="int64")
    params = list(dict.fromkeys(f"params.{name}" for trial in record.trials for name in trial.params))
    return pd.DataFrame(rows, index=index, columns=[*_TRIAL, *params])


def _trial(trial: TrialRecord) -> dict[str, Any]:
    return {
        "pairing": trial.pairing,
        "weak": trial.weak,
        "strong": trial.strong,
        "method": trial.method,
        "default": trial.default,
        "state": trial.state,
        "oracle": _number(trial.values.get("oracle")),
        "weak_labels": _number(trial.values.get("weak")),
        "last_step": _number(max(trial.intermediate, default=None)),
        "started": pd.to_datetime(trial.started, unit="s", utc=True),
        "finished": pd.to_datetime(trial.finished, unit="s", utc=True),
        "error": trial.error,
        **{f"params.{name}": value for name, value in trial.params.items()},
    }


def _results(report: Report) -> pd.DataFrame:
    return pd.DataFrame([row for pairing in report.pairings for row in _result_rows(pairing)])


def _result_rows(pairing: PairingAnswer) -> Iterator[dict[str, Any]]:
    default = [(DEFAULT_ROW, pairing.naive_default)] if pairing.naive_default else []
    for name, answer in [*default, *((answer.method, answer) for answer in pairing.methods)]:
        yield _result(pairing, name, answer)


def _result(pairing: PairingAnswer, name: str, answer: MethodAnswer) -> dict[str, Any]:
    return {
        "pairing": pairing.name,
        "weak": pairing.weak,
        "strong": pairing.strong,
        "method": name,
        "trial": answer.trial,
        "best": name == pairing.best,
        "num_compared": answer.num_compared,
        "validation": answer.validation,
        **_limits("student", answer.student),
        **_limits("pgr", answer.pgr),
        **_limits("weak_accuracy", pairing.weak_accuracy),
        **_limits("ceiling_accuracy", pairing.ceiling_accuracy),
        "agreement": _number(answer.agreement.overall),
        "agreement_weak_right": _number(answer.agreement.weak_right),
        "agreement_weak_wrong": _number(answer.agreement.weak_wrong),
        **_confirmed(pairing, answer.trial),
    }


def _confirmed(pairing: PairingAnswer, trial: int) -> dict[str, float]:
    """What fresh seeds give for trial number `trial`; nothing where it was not confirmed."""
    confirmed, default = pairing.confirmed, pairing.naive_default
    if confirmed and trial == confirmed.trial:
        return {**_limits("confirmed_student", confirmed.best.fresh), **_limits("confirmed_pgr", confirmed.pgr)}
    if confirmed and confirmed.default and default and trial == default.trial:
        return _limits("confirmed_student", confirmed.default.fresh)
    return {}


def _limits(name: str, interval: Interval) -> dict[str, float]:
    return {column: _number(value) for column, value in interval.named(name).items()}


def _number(value: float | None) -> float:
    """Missing as NaN: a column of nothing but None would hold objects, which can neither be drawn nor rounded."""
    return float("nan") if value is None else float(value)
