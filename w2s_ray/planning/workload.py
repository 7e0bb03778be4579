"""A sweep as jobs and trials: what is not in the store yet, for the trials that have no result yet.

Trials asked and every method's defaults are known. Those that the search would still propose are drawn at random from
its space, with its seed, and a grid search's from its grid: any other sampler prefers what nobody knows before. No
trial is pruned here, so where there is a pruner a plan says the most that it can take.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler, RandomSampler

from w2s_ray.methods import BASELINES, Experiment, Parts, stages_of
from w2s_ray.planning.fleet import places_for
from w2s_ray.planning.jobs import Job, Trial, Workload, fits
from w2s_ray.planning.times import Measured, Times
from w2s_ray.search.folder import read_record
from w2s_ray.search.naming import study_names
from w2s_ray.search.plan import known_experiments
from w2s_ray.search.reading import experiment_of
from w2s_ray.search.record import ENDED
from w2s_ray.search.samplers import sampler_for, suggest_all
from w2s_ray.spec import Sweep, replace
from w2s_ray.spec.cluster import Cluster
from w2s_ray.spec.model import AT_ONCE
from w2s_ray.stages.devices import with_gpus
from w2s_ray.stages.record import StageRecord
from w2s_ray.stages.stage import ExtractFeatures, Finetune, Stage, walk
from w2s_ray.stages.store import Store

Graph = Mapping[str, tuple[Stage, ...]]


@dataclass(frozen=True)
class Planned:
    """What is left of a sweep.

    Attributes:
        work: its jobs and trials.
        measured: how many of the jobs are told by stages that the store holds; the rest by FLOPs.
    """

    work: Workload
    measured: int


def plan_work(sweep: Sweep, store: Store, cluster: Cluster) -> Planned:
    """Lays out what is left of a sweep. Reads the study and the store, and writes nothing.

    The sweep's folder is taken as this machine has it: who plans has made a plan of it before, which fetches it.

    Raises:
        UnknownTimeError: nothing tells how long a stage takes.
    """
    parts = Parts(sweep)
    graphs = [stages_of(parts, experiment) for experiment in open_experiments(parts, store)]
    goes = _goes(walk(*(stage for graph in graphs for of_role in graph.values() for stage in of_role)))
    stored = store.read_all(stage.address for go in goes for stage in go)
    records = {address: one.record for address, one in stored.items() if one is not None}
    lacking = [left for go in goes if (left := [stage for stage in go if stage.address not in records])]
    missing = [[with_gpus(stage, cluster.kinds) for stage in go] for go in lacking]
    times = Times(sweep, cluster, _measured(goes, records))
    key_of = {stage.address: go[0].address for go in missing for stage in go}
    jobs = [_job(go, key_of, times, cluster) for go in missing]
    trials = tuple(_trial(graph, key_of, is_race=sweep.search.pruner.kind != "none") for graph in graphs)
    work = Workload({job.key: job for job in jobs}, trials, sweep.search.parallelism)
    return Planned(work, sum(times.is_measured(_largest(go)) for go in missing))


def open_experiments(parts: Parts, store: Store) -> list[Experiment]:
    """Returns the trials without a result: as they were asked, the defaults, and a random draw for each further one."""
    sweep = parts.sweep
    record = read_record(store, sweep, study_names(parts))
    finished = {trial.number for trial in record.trials if trial.state in ENDED}
    known = known_experiments(record)
    return [one for one in (*known, *_drawn(sweep, known)) if one.number not in finished]


def _drawn(sweep: Sweep, known: Sequence[Experiment]) -> list[Experiment]:
    """Returns what the search may propose beyond `known`, from a study of each pairing that lasts no longer."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = sweep.search if sweep.search.sampler == "grid" else replace(sweep.search, sampler="random")
    studies = [optuna.create_study() for _ in sweep.pairings]
    for one in known:
        params = {name: one.params[name] for name, dim in sweep.space.items() if dim.varies and name in one.params}
        studies[one.number % len(studies)].enqueue_trial({"method": one.method, **params})
        _proposal(sweep, studies, one.number, RandomSampler(seed=0))
    numbers = range(len(known), sweep.search.trials)
    return [_proposal(sweep, studies, number, sampler_for(search, number, startup=0)) for number in numbers]


def _proposal(sweep: Sweep, studies: Sequence[optuna.Study], number: int, sampler: BaseSampler) -> Experiment:
    """Returns trial `number`, which its study then takes for done."""
    study = studies[number % len(studies)]
    study.sampler = sampler
    trial = study.ask()
    suggest_all(trial, sweep, sweep.pairings[number % len(studies)])
    study.sampler = RandomSampler(seed=0)  # a grid's wants to end an optimize loop that is not there
    return experiment_of(sweep, number, study.tell(trial, 0.0))


def _goes(stages: Iterable[Stage]) -> list[list[Stage]]:
    """Groups the stages that are made in one go: the features of one model at all depths."""
    found: dict[object, list[Stage]] = defaultdict(list)
    for stage in stages:
        settings = stage.settings
        if isinstance(settings, ExtractFeatures) and stage.execution.depths:
            kin = replace(settings, model=replace(settings.model, depth=None))
            found[kin, stage.inputs["examples"].address].append(stage)
        else:
            found[stage.address].append(stage)
    return list(found.values())


def _largest(go: Sequence[Stage]) -> Stage:
    """The stage that takes as long as all of them: of features at several depths the deepest."""
    return max(go, key=_depth)


def _depth(stage: Stage) -> float:
    settings = stage.settings
    depth = settings.model.depth if isinstance(settings, ExtractFeatures) else 0
    return float("inf") if depth is None else float(depth)


def _measured(goes: Iterable[Sequence[Stage]], records: Mapping[str, StageRecord]) -> list[Measured]:
    there = [[stage for stage in go if stage.address in records] for go in goes]
    slowest = [max((records[one.address] for one in go), key=lambda one: one.seconds["stage"]) for go in there if go]
    return [Measured(_largest(go), record) for go, record in zip(filter(None, there), slowest, strict=True)]


def _job(go: Sequence[Stage], key_of: Mapping[str, str], times: Times, cluster: Cluster) -> Job:
    resources = go[0].execution.resources
    demand = resources.demand
    # An elastic group is planned as wide as the cluster can hold it.
    workers = max(resources.fewest, min(resources.workers, places_for(demand, cluster)))
    stage = _largest(go).with_workers(workers)
    able = {kind: node for kind, node in cluster.nodes.items() if fits(demand, node.capacity)}
    needs = {key_of[needed.address] for one in go for needed in one.inputs.values() if needed.address in key_of}
    keeps = isinstance(stage.settings, Finetune) and stage.settings.train not in AT_ONCE
    return Job(
        key=go[0].address,
        seconds={kind: times.seconds_on(stage, node) for kind, node in able.items()},
        demand=demand,
        needs=tuple(sorted(needs)),
        workers=workers,
        checkpoint_seconds=resources.checkpoint_seconds if keeps else None,
        label=stage.execution.label,
    )


def _trial(graph: Graph, key_of: Mapping[str, str], *, is_race: bool) -> Trial:
    """All stages are asked for at once; with a pruner baselines and the first seed's student are first."""
    in_order = [stage for of_seed in zip(*graph.values(), strict=True) for stage in of_seed]
    wanted = tuple(dict.fromkeys(key_of[stage.address] for stage in in_order if stage.address in key_of))
    racing = graph["student"][0].address
    if is_race and racing in key_of:
        baselines = (stage.address for role in BASELINES for stage in graph[role])
        first = dict.fromkeys(key_of[address] for address in (*baselines, racing) if address in key_of)
        return Trial((tuple(first), wanted))
    return Trial((wanted,) if wanted else ())
