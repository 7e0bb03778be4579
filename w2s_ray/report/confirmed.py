"""What is left of the best trial once it is trained with seeds that no trial used, and what choosing had added.

A number is looked at three times: on the validation split, which chose the trial; on the test split with the same
seeds, which is free of the luck of the examples; and on the test split with fresh seeds, which is free of both. The
steps between are the optimism of the choice. The lead over the naive default tells it best: the default was not chosen,
so that what a split or new weak supervisors do to both of them falls out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s_ray.report.bench import TEST, VALIDATION, Bench
from w2s_ray.report.retested import seeds_difference, splits_difference
from w2s_ray.report.statistics import Interval, accuracy_interval, difference_interval, pgr_interval
from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.record import COMPLETE, SweepRecord, TrialRecord

Cells = NDArray[np.float64]
Looks = tuple[Cells, Cells, Cells]
"""Of the searched seeds on validation and test, and of the fresh ones on test; each has shape (seeds, examples)."""


@dataclass(frozen=True)
class Retested:
    """One number at three looks, and the two steps between them.

    Attributes:
        validation: with the searched seeds on the validation split, against ground truth.
        test: with the same seeds on the test split.
        fresh: with fresh seeds on the test split.
        by_examples: `validation` minus `test`.
        by_seeds: `test` minus `fresh`.
    """

    validation: Interval
    test: Interval
    fresh: Interval
    by_examples: Interval
    by_seeds: Interval


@dataclass(frozen=True)
class Confirmed:
    """The best trial of a pairing, confirmed.

    Attributes:
        trial: its number.
        seeds: the fresh ones.
        best: accuracy of its student.
        default: of the naive default's; None if that is the best itself, or was not confirmed.
        lead: accuracy of the best minus that of the naive default, paired; None likewise.
        weak, ceiling: accuracies with the fresh seeds.
        pgr: with the fresh seeds.
    """

    trial: int
    method: str
    seeds: tuple[int, ...]
    best: Retested
    default: Retested | None
    lead: Retested | None
    weak: Interval
    ceiling: Interval
    pgr: Interval


def confirmed_of(record: SweepRecord, bench: Bench, pairing: str, confidence: float) -> Confirmed | None:
    """Returns the confirmation of a pairing's best trial, None if there is none. Raises KeyError if a stage is lost."""
    best, default = record.best(pairing), record.naive_default(pairing)
    made = _complete(record, best)
    if best is None or made is None:
        return None
    looks = _looks(bench, best, made)
    plain = None
    if default is not None and default.number != best.number:
        made_of_default = _complete(record, default)
        plain = _looks(bench, default, made_of_default) if made_of_default else None
    weak, ceiling = (bench.test(made.stages[role]).correct for role in ("weak", "ceiling"))
    return Confirmed(
        trial=best.number,
        method=best.method,
        seeds=made.seeds,
        best=_retested(looks, lambda cells: accuracy_interval(cells, confidence), confidence),
        default=_retested(plain, lambda cells: accuracy_interval(cells, confidence), confidence) if plain else None,
        lead=_lead(looks, plain, confidence) if plain else None,
        weak=accuracy_interval(weak, confidence),
        ceiling=accuracy_interval(ceiling, confidence),
        pgr=pgr_interval(weak, bench.test(made.stages["student"]).correct, ceiling, confidence),
    )


def why_unconfirmed(record: SweepRecord, pairing: str) -> str:
    """Returns why a pairing's best trial has no confirmation, in words; empty if it has, or none was asked for."""
    best = record.best(pairing)
    if not record.sweep.search.confirm or best is None or _complete(record, best):
        return ""
    seeds = ", ".join(map(str, record.sweep.fresh_seeds))
    made = record.confirmation(best)
    if made is not None and made.error:
        return f"trial {best.number} could not be trained again with fresh seeds {seeds}: {made.error}"
    return f"trial {best.number} is not trained again with fresh seeds {seeds} yet"


def _complete(record: SweepRecord, trial: TrialRecord | None) -> Confirmation | None:
    made = record.confirmation(trial) if trial else None
    return made if made and made.state == COMPLETE and record.sweep.search.confirm else None


def _looks(bench: Bench, trial: TrialRecord, made: Confirmation) -> Looks:
    searched, fresh = trial.stages["student"], made.stages["student"]
    tables = (bench.on(VALIDATION, searched), bench.on(TEST, searched), bench.on(TEST, fresh))
    assert tables[1].ids.tolist() == tables[2].ids.tolist(), "a trial and its confirmation saw different examples"
    validation, test, again = (table.correct.astype(np.float64) for table in tables)
    return validation, test, again


def _lead(best: Looks, default: Looks, confidence: float) -> Retested:
    def paired(cells: Cells) -> Interval:
        return difference_interval(cells, np.zeros_like(cells), confidence)

    ahead = [one - other for one, other in zip(best, default, strict=True)]
    return _retested((ahead[0], ahead[1], ahead[2]), paired, confidence)


def _retested(looks: Looks, interval: Callable[[Cells], Interval], confidence: float) -> Retested:
    validation, test, fresh = looks
    return Retested(
        validation=interval(validation),
        test=interval(test),
        fresh=interval(fresh),
        by_examples=splits_difference(validation, test, confidence),
        by_seeds=seeds_difference(test, fresh, confidence),
    )
