"""What a sweep will do before it does it: stages that are there, stages to run, and what sharing them saves.

Baselines, every method's defaults and the trials already asked are known exactly. The trials still to be proposed are
estimated: methods in turn, each with a student of its own and, where the space changes it, what comes before. Of the
confirmations the winners' part is estimated, from above, until the winners are known.
"""

from collections import Counter
from dataclasses import dataclass

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.methods.experiment import default_params
from w2s_ray.search.folder import experiment_in, read_record
from w2s_ray.search.forecast import bytes_of, free_bytes, seconds_of
from w2s_ray.search.foresee import foresee, trainings_in, walk_all
from w2s_ray.search.naming import study_names
from w2s_ray.search.record import SweepRecord
from w2s_ray.spec import Sweep
from w2s_ray.spec.method import PROBE_PARAMETERS, methods_with
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store
from w2s_ray.units import in_bytes


@dataclass(frozen=True)
class Plan:
    """Counts of a sweep's stages and trainings.

    Attributes:
        stored, to_run: distinct stages of every kind.
        without_sharing: trainings if each trial trained all its models itself.
        with_sharing: trainings of the whole sweep, those already done included.
        to_run_by_kind: what `to_run` is made of.
        seconds: estimated CPU time of what is to run, from the like in the store; None where it holds nothing alike.
        bytes: estimated disk that it takes; None where a model's size is unknown.
        free: bytes left on the store's disk.
        fresh_seeds: those that the winners are confirmed with; none if they are not.
        to_confirm: those of `to_run` that only the confirmations need.
        winners_known: whether `to_confirm` is exact; otherwise it is the most that it can be.
    """

    sweep: str
    trials: int
    stored: int
    to_run: int
    without_sharing: int
    with_sharing: int
    to_run_by_kind: dict[str, int]
    seconds: float | None
    bytes: int | None
    free: int
    fresh_seeds: tuple[int, ...] = ()
    to_confirm: int = 0
    winners_known: bool = False

    @property
    def warning(self) -> str:
        """What speaks against starting it; empty if nothing does."""
        if not self.bytes or self.bytes < self.free:
            return ""
        return f"the rest may take {in_bytes(self.bytes)} of disk, and {in_bytes(self.free)} are free; see `w2s gc`"

    @property
    def confirm_text(self) -> str:
        """What the confirmations add; for sweeps that have them."""
        seeds = f"seed{'s' if len(self.fresh_seeds) > 1 else ''} {', '.join(map(str, self.fresh_seeds))}"
        count = f"{'' if self.winners_known else 'at most '}{self.to_confirm} of the stages to run"
        return f"best trial and naive default of each pairing with fresh {seeds}: {count}"

    def to_json(self) -> dict[str, object]:
        """Returns the stable form of `w2s plan --json`."""
        return {
            "sweep": self.sweep,
            "trials": self.trials,
            "stages": {"stored": self.stored, "to_run": self.to_run},
            "trainings": {"without_sharing": self.without_sharing, "with_sharing": self.with_sharing},
            **({"confirm": self._confirm_json()} if self.fresh_seeds else {}),
        }

    def _confirm_json(self) -> dict[str, object]:
        return {"seeds": list(self.fresh_seeds), "to_run": self.to_confirm, "winners_known": self.winners_known}

    def to_text(self) -> str:
        """Returns the plan for people."""
        kinds = (
            ", ".join(f"{count} {kind}" for kind, count in sorted(self.to_run_by_kind.items()) if count) or "nothing"
        )
        saved = self.without_sharing - self.with_sharing
        time = "unknown until the first stages are measured" if self.seconds is None else f"about {self.seconds:.0f} s"
        disk = "unknown until the models are here" if self.bytes is None else f"about {in_bytes(self.bytes)}"
        return "\n".join(
            [
                f"sweep      {self.sweep}, {self.trials} trials",
                f"stages     {self.stored} stored, {self.to_run} to run ({kinds})",
                f"trainings  {self.with_sharing} in all; {self.without_sharing} if nothing were shared ({saved} saved)",
                *([f"confirm    {self.confirm_text}"] if self.fresh_seeds else []),
                f"CPU time   {time}",
                f"disk       {disk}, {in_bytes(self.free)} free",
                *([f"warning    {self.warning}"] if self.warning else []),
            ]
        )


def make_plan(sweep: Sweep, store: Store) -> Plan:
    """Lays out the sweep. Reads the study and the store, downloads and writes nothing."""
    parts = Parts(sweep)
    store.fetch_sweep(sweep.name)
    record = read_record(store, sweep, study_names(parts))
    is_over = record.ended >= sweep.search.trials
    known = known_experiments(record)
    graphs = [stages_of(parts, experiment) for experiment in known]
    searched = {stage.address: stage for stage in walk_all(*graphs)}
    fresh = foresee(record, known, searched, is_over=is_over)
    stages = list({**searched, **{stage.address: stage for stage in fresh.sure}}.values())
    stored = store.read_all(stage.address for stage in stages)
    missing = [stage for stage in stages if stored[stage.address] is None]
    open_methods = [_next_method(sweep, number) for number in range(len(known), sweep.search.trials)]
    new = sum(_new_trainings(sweep, graphs, known, method) for method in open_methods)
    alone = [*map(trainings_in, graphs), *(trainings_in(_graph_like(graphs, known, m)) for m in open_methods)]
    to_run = [*missing, *graphs[0]["student"][:1] * new, *fresh.at_most]
    kinds = Counter(stage.kind for stage in (*missing, *fresh.at_most))
    kinds["finetune"] += new
    return Plan(
        sweep=sweep.name,
        trials=sweep.search.trials,
        stored=len(stages) - len(missing),
        to_run=len(to_run),
        without_sharing=sum(alone) + fresh.alone,
        with_sharing=sum(stage.kind == "finetune" for stage in (*stages, *fresh.at_most)) + new,
        to_run_by_kind=dict(kinds),
        seconds=seconds_of(to_run, [one.record for one in stored.values() if one is not None]),
        bytes=bytes_of(to_run, sweep),
        free=free_bytes(store.root),
        fresh_seeds=sweep.fresh_seeds,
        to_confirm=sum(stage.address not in searched for stage in missing) + len(fresh.at_most),
        winners_known=is_over,
    )


def known_experiments(record: SweepRecord) -> list[Experiment]:
    """The trials asked so far, then the defaults that are still to be asked, within the budget."""
    sweep = record.sweep
    asked = list(map(experiment_in, record.trials))
    pairs, methods = len(sweep.pairings), list(sweep.methods)
    for number in range(len(asked), min(pairs * len(methods), sweep.search.trials)):
        pairing, method = sweep.pairings[number % pairs], methods[number // pairs]
        params = default_params(sweep, pairing, method)
        asked.append(Experiment(number, pairing.name, method, params, default=True))
    return asked


def _next_method(sweep: Sweep, number: int) -> str:
    return list(sweep.methods)[number // len(sweep.pairings) % len(sweep.methods)]


def _graph_like(
    graphs: list[dict[str, tuple[Stage, ...]]], known: list[Experiment], method: str
) -> dict[str, tuple[Stage, ...]]:
    return next((g for g, e in zip(graphs, known, strict=True) if e.method == method), graphs[0])


def _new_trainings(
    sweep: Sweep, graphs: list[dict[str, tuple[Stage, ...]]], known: list[Experiment], method: str
) -> int:
    """Trainings that a searched trial of `method` adds: its students, and what comes before if the space moves it."""
    moved = {name for name, dimension in sweep.space.items() if dimension.varies and method in methods_with(name)}
    moves = {
        "student": True,
        "intermediate": any(name.startswith("intermediate.") for name in moved),
        "finetuned": bool(moved - {*PROBE_PARAMETERS}),
    }
    graph = _graph_like(graphs, known, method)
    own = [role for role in graph if moves.get(role.split()[0])]
    return sum(stage.kind == "finetune" for role in own for stage in graph[role])
