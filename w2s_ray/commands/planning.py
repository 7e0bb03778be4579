"""`w2s plan`: what a sweep would do here, what memory its workers need, and how it would go on a cluster."""

from pathlib import Path

import typer

from w2s_ray.commands.saying import console, show
from w2s_ray.spec import yaml
from w2s_ray.spec.cluster import Cluster
from w2s_ray.spec.several import Several
from w2s_ray.stages.store import Store


def show_plan(several: Several, cluster_file: Path | None, as_json: bool) -> None:
    """Prints the plan of a sweep or of the sweeps of a file; exit code 1 if one cannot be laid out."""
    from w2s_ray.search.several import plan_all

    cluster = yaml.load_cluster(cluster_file) if cluster_file else None
    if several.is_one:
        return _show_one(several, cluster, as_json)
    if cluster is not None:
        raise typer.BadParameter(
            f"{several.name} holds {len(several.sweeps)} sweeps, and a simulation is of one", param_hint="--cluster"
        )
    plans = plan_all(several)
    show(plans.to_json() if as_json else plans.to_text())
    raise typer.Exit(bool(plans.failed))


def _show_one(several: Several, cluster: Cluster | None, as_json: bool) -> None:
    from w2s_ray.planning.memory import memory_json, memory_text, needs_of
    from w2s_ray.planning.outlook import plan_on
    from w2s_ray.search.plan import make_plan

    sweep = several.sweeps[0]
    store = Store(sweep.store)
    made, needs = make_plan(sweep, store), needs_of(sweep, cluster)
    on_cluster = plan_on(sweep, store, cluster) if cluster else None
    if as_json:
        more = {"memory": memory_json(needs), "cluster": on_cluster.to_json()} if on_cluster else {}
        return show({**made.to_json(), **more})
    show("\n".join([made.to_text(), *memory_text(needs)]))
    if on_cluster:
        print()
        console().print(on_cluster.to_table())
        show(f"\n{on_cluster.path_text()}")
    return None
