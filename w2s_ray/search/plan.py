"""What a sweep will do before it does it: stages that are there, stages to run, and what sharing them saves.

Baselines, every method's defaults and the trials already asked are known exactly. The trials still to be proposed are
estimated: methods in turn, each with a student of its own and, where the space changes them, its own intermediates.
"""

from collections import Counter
from dataclasses import dataclass

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.methods.experiment import default_params
from w2s_ray.search.folder import journal_path
from w2s_ray.search.forecast import bytes_of, free_bytes, seconds_of
from w2s_ray.search.naming import study_names
from w2s_ray.search.study import experiment_of, read_trials
from w2s_ray.spec import Sweep
from w2s_ray.stages.stage import Stage, walk
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

    @property
    def warning(self) -> str:
        """What speaks against starting it; empty if nothing does."""
        if self.bytes is None or self.bytes < self.free:
            return ""
        return f"the rest may take {in_bytes(self.bytes)} of disk, and {in_bytes(self.free)} are free; see `w2s gc`"

    def to_json(self) -> dict[str, object]:
        """Returns the stable form of `w2s plan --json`."""
        return {
            "sweep": self.sweep,
            "trials": self.trials,
            "stages": {"stored": self.stored, "to_run": self.to_run},
            "trainings": {"without_sharing": self.without_sharing, "with_sharing": self.with_sharing},
        }

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
                f"CPU time   {time}",
                f"disk       {disk}, {in_bytes(self.free)} free",
                *([f"warning    {self.warning}"] if self.warning else []),
            ]
        )


def make_plan(sweep: Sweep, store: Store) -> Plan:
    """Lays out the sweep. Reads the study and the store, downloads and writes nothing."""
    parts = Parts(sweep)
    known = known_experiments(parts, store)
    graphs = [stages_of(parts, experiment) for experiment in known]
    stages = list(walk(*(stage for graph in graphs for of_role in graph.values() for stage in of_role)))
    stored = {stage.address: store.read(stage.address) for stage in stages}
    missing = [stage for stage in stages if stored[stage.address] is None]
    open_methods = [_next_method(sweep, number) for number in range(len(known), sweep.search.trials)]
    new = sum(_new_trainings(sweep, graphs, known, method) for method in open_methods)
    alone = [*map(_trainings_in, graphs), *(_trainings_in(_graph_like(graphs, known, m)) for m in open_methods)]
    kinds = Counter(stage.kind for stage in missing)
    kinds["finetune"] += new
    to_run = [*missing, *graphs[0]["student"][:1] * new]
    return Plan(
        sweep=sweep.name,
        trials=sweep.search.trials,
        stored=len(stages) - len(missing),
        to_run=len(missing) + new,
        without_sharing=sum(alone),
        with_sharing=sum(stage.kind == "finetune" for stage in stages) + new,
        to_run_by_kind=dict(kinds),
        seconds=seconds_of(to_run, [one.record for one in stored.values() if one is not None]),
        bytes=bytes_of(to_run, sweep),
        free=free_bytes(store.root),
    )


def known_experiments(parts: Parts, store: Store) -> list[Experiment]:
    """The trials asked so far, then the defaults that are still to be asked, within the budget."""
    sweep = parts.sweep
    trials = read_trials(journal_path(store, sweep.name), study_names(parts))
    asked = [experiment_of(sweep, number, trial) for number, trial in trials]
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


def _trainings_in(graph: dict[str, tuple[Stage, ...]]) -> int:
    return sum(stage.kind == "finetune" for stage in walk(*(stage for of_role in graph.values() for stage in of_role)))


def _new_trainings(
    sweep: Sweep, graphs: list[dict[str, tuple[Stage, ...]]], known: list[Experiment], method: str
) -> int:
    """Trainings that a searched trial of `method` adds: its students, and its intermediates if the space moves them."""
    moves_chain = any(name.startswith("intermediate.") and d.varies for name, d in sweep.space.items())
    graph = _graph_like(graphs, known, method)
    own = [role for role in graph if role == "student" or (moves_chain and role.startswith("inter"))]
    return sum(stage.kind == "finetune" for role in own for stage in graph[role])
