"""Which student is exported: of the trial that is best on validation, or of one that is named; of one seed.

Across pairings validation accuracy compares only against ground truth. Where the sweep may not look at it (`objective:
weak`), each pairing's labels are another supervisor's, and somebody has to say which pairing is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.report.selecting import ORACLE
from w2s_ray.search.record import COMPLETE, SweepRecord, TrialRecord, choose
from w2s_ray.spec.model import AT_ONCE
from w2s_ray.stages.stage import Finetune, Stage


@dataclass(frozen=True)
class Chosen:
    """A student to export: its trial, its seed and the stage that made it."""

    record: SweepRecord
    trial: TrialRecord
    seed: int
    stage: Stage

    @property
    def label(self) -> str:
        """As in `trial 7 (confidence, minilm-0→minilm-5), seed 0`."""
        return f"trial {self.trial.number} ({self.trial.method}, {self.trial.pairing}), seed {self.seed}"


def choose_student(
    record: SweepRecord, trial: int | None = None, pairing: str | None = None, seed: int | None = None
) -> Chosen:
    """Returns the student of a finished trial.

    Args:
        record: the sweep.
        trial: its number; None takes the best on validation, by the sweep's objective.
        pairing: among whose trials; `->` may stand for the arrow.
        seed: one of the sweep's; None takes the first.

    Raises:
        ValueError: there is no such trial, pairing or seed, none is finished, or the student cannot stand alone.
    """
    name = _pairing(record, pairing)
    found = _best(record, name) if trial is None else _named(record, trial, name)
    seeds = record.sweep.seeds
    if seed is not None and seed not in seeds:
        raise ValueError(f"--seed must be one of the sweep's seeds, {', '.join(map(str, seeds))}; got {seed}")
    place = seeds.index(seeds[0] if seed is None else seed)
    stage = _stage(record, found, place)
    _must_stand_alone(stage, found)
    return Chosen(record, found, seeds[place], stage)


def _pairing(record: SweepRecord, asked: str | None) -> str | None:
    known = [pairing.name for pairing in record.sweep.pairings]
    name = asked.replace("->", "→") if asked else None
    if name is not None and name not in known:
        raise ValueError(f"--pairing must be one of {', '.join(known)}; got {asked!r}")
    return name


def _named(record: SweepRecord, number: int, pairing: str | None) -> TrialRecord:
    found = next((trial for trial in record.trials if trial.number == number), None)
    if found is None:
        raise ValueError(f"{record.sweep.name} has no trial {number}; see: w2s status {record.sweep.name}")
    if found.state != COMPLETE:
        raise ValueError(f"trial {number} is {found.state}; only a complete one has a student to export")
    if pairing not in (None, found.pairing):
        raise ValueError(f"trial {number} is of {found.pairing}, not of {pairing}; leave --pairing out")
    return found


def _best(record: SweepRecord, pairing: str | None) -> TrialRecord:
    labels = record.sweep.objective.labels
    trials = [trial for trial in record.trials if trial.state == COMPLETE and pairing in (None, trial.pairing)]
    if not trials:
        raise ValueError(f"no trial of {pairing or record.sweep.name} is complete; see: w2s status {record.sweep.name}")
    pairings: Sequence[str] = list(dict.fromkeys(trial.pairing for trial in trials))
    if len(pairings) > 1 and labels != ORACLE:
        raise ValueError(
            f"{record.sweep.name} chooses by weak labels, which differ from pairing to pairing, so none is best of "
            f"all; add --pairing with one of {', '.join(pairings)}"
        )
    return choose(trials, labels)


def _stage(record: SweepRecord, trial: TrialRecord, place: int) -> Stage:
    """Lays the trial's student out again, and makes sure that it is the one that was trained."""
    experiment = Experiment(trial.number, trial.pairing, trial.method, trial.params, trial.default)
    stage = stages_of(Parts(record.sweep), experiment)["student"][place]
    if stage.address != trial.stages["student"][place]:
        raise ValueError(
            f"the data or a model of {record.sweep.name} is no longer what trial {trial.number} read, so its student "
            "cannot be put together; put the files back as they were"
        )
    return stage


def _must_stand_alone(stage: Stage, trial: TrialRecord) -> None:
    settings, what = stage.settings, f"the student of trial {trial.number}"
    if not isinstance(settings, Finetune):
        raise ValueError(f"{what} was prompted and not trained: it is the pretrained model {stage.execution.source}")
    read = stage.inputs.get("features")
    if "texts" in stage.inputs or (read is not None and read.inputs["examples"].kind == "hint"):
        raise ValueError(f"{what} reads its supervisor's label in each text, so it cannot be served without one")
    if read is not None and "weights" in read.inputs:
        raise ValueError(f"{what} is a probe on a finetuned model, for analysis; export another trial")
    if settings.train == AT_ONCE[1]:
        raise ValueError(f"{what} is a kNN probe, which is its training examples; export one of another model")
