"""All checks in one go: on this machine, or on the nodes of the cluster that RAY_ADDRESS names, as `w2s run` does."""

import os
from dataclasses import replace

from w2s_ray.doctor.bounded import run_checks
from w2s_ray.doctor.checks import OF_THE_DRIVER, ON_EACH_MACHINE
from w2s_ray.doctor.finding import Finding, placed
from w2s_ray.doctor.need import Need, sources_of
from w2s_ray.doctor.request import Request
from w2s_ray.doctor.store import probed

HERE, DRIVER = "this machine", "driver"


def examine(request: Request) -> list[Finding]:
    """Returns everything that was looked at; no check hides another one, and each takes a bounded time.

    What is put into the store meanwhile is gone at the end.
    """
    if request.store is None:
        return _examined(request, Need(sources=sources_of(request.sweeps)))
    with probed(request.store) as (probe, troubles):
        need = Need(probe=probe, sources=sources_of(request.sweeps))
        return [*placed(troubles, DRIVER if request.is_cluster else HERE), *_examined(request, need)]


def _examined(request: Request, need: Need) -> list[Finding]:
    return _on_a_cluster(request, need) if request.is_cluster else _here(request, need)


def _here(request: Request, need: Need) -> list[Finding]:
    where = DRIVER if request.is_cluster else HERE
    return placed([*run_checks(ON_EACH_MACHINE, need), *run_checks(OF_THE_DRIVER, request)], where)


def _on_a_cluster(request: Request, need: Need) -> list[Finding]:
    from w2s_ray.doctor import cluster  # imports Ray

    with cluster.joined(os.environ["RAY_ADDRESS"]) as troubles:
        if troubles:
            return placed([*troubles, *_here(request, need)], DRIVER)
        nodes = cluster.nodes()
        types = request.cluster_file or cluster.launcher_file()
        known = replace(request, kinds=cluster.kinds(nodes), cluster_file=types)
        return [*cluster.look_at(nodes, need), *placed(run_checks(OF_THE_DRIVER, known), DRIVER)]
