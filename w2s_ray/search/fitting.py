"""A spec as this machine can run it: with whole paths, and asking for nothing that the machine lacks."""

from collections.abc import Iterator
from pathlib import Path

from w2s_ray.assets import is_local
from w2s_ray.machine import resources_here, usable_cpus
from w2s_ray.spec import Problem, Resources, SpecError, Sweep, replace
from w2s_ray.spec.resources import NodeKinds, amount_in_words, in_words, places_on
from w2s_ray.stages.open import absolute_place


def with_absolute_paths(sweep: Sweep) -> Sweep:
    """Resolves local files against the current folder, so that the kept spec can be resumed from any other."""

    def absolute(source: str | None) -> str | None:
        return str(Path(source).expanduser().resolve()) if source and is_local(source) else source

    task = replace(sweep.task, source=absolute(sweep.task.source), test_source=absolute(sweep.task.test_source))
    models = {name: replace(model, source=absolute(model.source)) for name, model in sweep.models.items()}
    return replace(sweep, task=task, models=models, store=absolute_place(sweep.store))


def asked(sweep: Sweep) -> dict[str, Resources]:
    """Returns what one stage of each place in the spec asks for."""
    plan = sweep.resources
    wanted = {"default": plan.default} if set(sweep.models) - set(plan.models) else {}
    wanted["features"] = replace(plan.features, workers=1)  # nothing of them is divided
    return wanted | {f"models.{name}": of_one for name, of_one in plan.models.items()}


def with_usable_cpus(sweep: Sweep) -> Sweep:
    """Lets feature extraction take the CPUs there are on this machine, where it asks for more."""
    features = replace(sweep.resources.features, cpus=min(sweep.resources.features.cpus, usable_cpus()))
    return replace(sweep, resources=replace(sweep.resources, features=features))


def fitted_to_this_machine(sweep: Sweep) -> Sweep:
    """Lets feature extraction take the CPUs there are; anything else that this machine lacks is the user's to mend.

    Ray would wait for ever for a CPU or a resource that never comes.
    """
    fitted = with_usable_cpus(sweep)
    problems = [problem for place, wanted in asked(fitted).items() for problem in _lacking(place, wanted)]
    if problems:
        raise SpecError(problems)
    return fitted


def without_place(sweep: Sweep, kinds: NodeKinds) -> Iterator[str]:
    """Yields in words what no node of these kinds can hold, so that its stages wait for one that nobody may have."""
    for place, wanted in asked(sweep).items():
        if places_on(kinds, wanted.demand) < wanted.fewest:
            asks = in_words(wanted.demand) + (f" for each of {wanted.fewest} workers" if wanted.fewest > 1 else "")
            yield (
                f"resources.{place} asks for {asks}, and neither the nodes that are there nor the node types known "
                "here have it; its stages wait until a node does. `w2s doctor SPEC` says what there is"
            )


def _lacking(place: str, wanted: Resources) -> Iterator[Problem]:
    """Yields what the workers that a stage cannot do without ask for and this machine does not have."""
    has = {"CPU": float(usable_cpus())}
    for name, amount in wanted.demand.items():
        if name not in has:
            has = resources_here()  # imports Ray, which most sweeps need not wait for
        if amount * wanted.fewest > has.get(name, 0.0):
            asks = amount_in_words(name, amount * wanted.fewest)
            yield Problem(
                ("resources", *place.split(".")),
                f"asks for {asks}, this machine has {amount_in_words(name, has.get(name, 0.0))}",
                "lower it or workers, or name a cluster in RAY_ADDRESS",
            )
