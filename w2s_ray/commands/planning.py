"""`w2s plan`: what a sweep would do here, what memory its workers need, and how it would go on a cluster."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from w2s_ray.commands.saying import console, show
from w2s_ray.spec import Sweep, yaml
from w2s_ray.spec.cluster import Cluster
from w2s_ray.spec.several import Several
from w2s_ray.stages.open import open_store

if TYPE_CHECKING:  # what a command does not need is not imported before it speaks
    from w2s_ray.planning.memory import Need
    from w2s_ray.planning.outlook import ClusterPlan
    from w2s_ray.planning.several import SeveralOnCluster


def show_plan(several: Several, cluster_file: Path | None, as_json: bool) -> None:
    """Prints the plan of a sweep or of the sweeps of a file; exit code 1 if one cannot be laid out."""
    from w2s_ray.planning.memory import memory_text, needs_of
    from w2s_ray.planning.several import plan_all_on
    from w2s_ray.search.several import plan_all

    cluster = yaml.load_cluster(cluster_file) if cluster_file else None
    if cluster and cluster.unpriced:
        missing = ", ".join(cluster.unpriced)
        print(f"w2s: {cluster_file}: no price for {missing}; the cost leaves their hours out", file=sys.stderr)
    if several.is_one:
        return _show_one(several.sweeps[0], cluster, as_json)
    plans = plan_all(several)
    on_cluster = plan_all_on(several, cluster, plans.failed) if cluster else None
    # Models and resources are the same for all tasks; only the number of examples is not.
    needs = needs_of(several.sweeps[0], cluster) if cluster else []
    if as_json:
        show({**plans.to_json(), **_more(needs, on_cluster)})
    else:
        show("\n".join([plans.to_text(), *memory_text(needs)]))
        if on_cluster:
            _print_table(on_cluster)
    raise typer.Exit(bool(plans.failed))


def _show_one(sweep: Sweep, cluster: Cluster | None, as_json: bool) -> None:
    from w2s_ray.planning.memory import memory_text, needs_of
    from w2s_ray.planning.outlook import plan_on
    from w2s_ray.search.plan import make_plan

    store = open_store(sweep.store)
    made, needs = make_plan(sweep, store), needs_of(sweep, cluster)
    on_cluster = plan_on(sweep, store, cluster) if cluster else None
    if as_json:
        return show({**made.to_json(), **_more(needs, on_cluster)})
    show("\n".join([made.to_text(), *memory_text(needs)]))
    if on_cluster:
        _print_table(on_cluster)
        show(f"\n{on_cluster.path_text()}")
    return None


def _more(needs: "list[Need]", on_cluster: "ClusterPlan | SeveralOnCluster | None") -> dict[str, object]:
    """What a cluster adds to the stable form of a plan."""
    from w2s_ray.planning.memory import memory_json

    return {"memory": memory_json(needs), "cluster": on_cluster.to_json()} if on_cluster else {}


def _print_table(on_cluster: "ClusterPlan | SeveralOnCluster") -> None:
    print()
    console().print(on_cluster.to_table())
    if on_cluster.problems_text():
        show(f"\n{on_cluster.problems_text()}")
