"""Which stages the confirmations of a sweep will ask for, before they are made: what a plan counts.

Once the budget is spent it is known which trials are confirmed. Until then each pairing's naive default and baselines
are, and the winner is taken for a searched trial of the method that has most stages of its own.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from w2s_ray.methods import BASELINES, Experiment, Parts, stages_of
from w2s_ray.search.folder import experiment_in
from w2s_ray.search.record import SweepRecord
from w2s_ray.stages.stage import Stage, walk

Roles = Mapping[str, tuple[Stage, ...]]


@dataclass(frozen=True)
class Foreseen:
    """The stages of all confirmations, before they are made.

    Attributes:
        sure: those that are known; inputs come before what reads them.
        at_most: stand for the winners' own, where the winners are not known yet: each by one like it.
        alone: trainings if each confirmed trial trained all its models itself.
    """

    sure: tuple[Stage, ...] = ()
    at_most: tuple[Stage, ...] = ()
    alone: int = 0


def foresee(record: SweepRecord, experiments: Sequence[Experiment], known: Container[str], is_over: bool) -> Foreseen:
    """Lays out the confirmations of a sweep, none if the spec asks for none.

    Args:
        record: the sweep as it is.
        experiments: what is known of its trials: those asked, and the defaults that are still to be asked.
        known: addresses of their stages.
        is_over: whether the budget is spent, so that the winners are known.
    """
    if not record.sweep.search.confirm:
        return Foreseen()
    parts = Parts(record.sweep).with_fresh_seeds()
    if is_over:
        return _all_sure([stages_of(parts, experiment_in(trial)) for trial in record.to_confirm()])
    each = []
    for index, pairing in enumerate(record.sweep.pairings):
        of_pairing = [one for one in experiments if one.pairing == pairing.name]
        graphs = {one.method: stages_of(parts, one) for one in of_pairing if one.default}
        has_choice = len(range(index, record.sweep.search.trials, len(record.sweep.pairings))) > 1
        each.append(_with_a_winner(graphs, known) if has_choice else _all_sure(list(graphs.values())))
    sure = {stage.address: stage for one in each for stage in one.sure}
    at_most = tuple(stage for one in each for stage in one.at_most)
    return Foreseen(tuple(sure.values()), at_most, sum(one.alone for one in each))


def trainings_in(roles: Roles) -> int:
    """Returns how many models are trained for one trial, if nothing is shared with another."""
    return sum(stage.kind == "finetune" for stage in walk_all(roles))


def _all_sure(graphs: Sequence[Roles]) -> Foreseen:
    return Foreseen(tuple(walk_all(*graphs)), alone=sum(map(trainings_in, graphs)))


def _with_a_winner(graphs: Mapping[str, Roles], known: Container[str]) -> Foreseen:
    """Takes the winner for a searched trial of the method whose default has most stages of its own."""
    baselines = {role: of for role, of in next(iter(graphs.values())).items() if role in BASELINES}
    naive = [graphs["naive"]] if "naive" in graphs else []
    shared = {stage.address for stage in walk_all(baselines)}
    own = {
        method: [one for one in walk_all(graph) if one.address not in shared and one.address not in known]
        for method, graph in graphs.items()
    }
    winner = max(own, key=lambda method: len(own[method]))
    alone = sum(map(trainings_in, [*naive, graphs[winner]]))
    return Foreseen(tuple(walk_all(baselines, *naive)), tuple(own[winner]), alone)


def walk_all(*graphs: Roles) -> Iterator[Stage]:
    """Yields every distinct stage of several trials, inputs before what reads them."""
    return walk(*(stage for graph in graphs for of_role in graph.values() for stage in of_role))
