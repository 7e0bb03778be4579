"""The nodes of a Ray cluster, each looked at by a task that may run there and nowhere else.

Every node is first asked for its time, which costs nothing: one that does not say it is the finding, and is asked no
more. Then each looks at itself as `machine`, `store` and `sources` do; what must be equal everywhere is compared here.
The driver does not know when a node read its clock, only that it was between question and answer; a clock is wrong by
what cannot be explained so.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from w2s_ray.doctor.bounded import run_checks, within
from w2s_ray.doctor.checks import ON_EACH_MACHINE
from w2s_ray.doctor.finding import Finding, first_line, has_problem, ok, placed, problem, warning
from w2s_ray.doctor.machine import versions
from w2s_ray.doctor.need import Need
from w2s_ray.doctor.store import seen_from_the_driver
from w2s_ray.search.node_types import Kind, file_of_the_autoscaler

CLUSTER = "cluster"
_JOIN_SECONDS = 60.0  # Ray itself tries for minutes to reach a head that is gone
_HELLO_SECONDS = 60.0  # a process starts there, and may get the package first
_LOOK_SECONDS = 240.0
_CLOCK_SECONDS = 10.0
_CLOCK_OFF, _CLOCK_WRONG = 3.0, 300.0  # seconds; object stores and tokens refuse a clock that is minutes off
_NOT_JOINED = "see whether it runs, what RAY_ADDRESS names, and whether its token is the one here (RAY_AUTH_TOKEN)"
_RAYLET = "see `ray status` and the raylet's log there (/tmp/ray/session_latest/logs), or take the node away"
_SAME = "install the same on every node: pip install -c constraints.txt, or one image for all"


@dataclass(frozen=True, eq=False)
class Node:
    """A node that is alive.

    Attributes:
        id: Ray's.
        where: as people are shown it.
        resources: by Ray's names.
    """

    id: str
    where: str
    resources: dict[str, float]


@dataclass(frozen=True)
class Look:
    """What a node says of itself."""

    versions: dict[str, str]
    findings: list[Finding]


@contextmanager
def joined(address: str) -> Iterator[list[Finding]]:
    """Joins a cluster for the block; gives why not, if it cannot be."""
    try:
        within(_JOIN_SECONDS, lambda: _join(address))
    except Exception as error:  # Ray raises anything here, plain Exception too
        yield [problem("cluster", f"Ray cannot be joined: {first_line(error)}", _NOT_JOINED)]
        return
    try:
        yield []
    finally:
        ray.shutdown()


def nodes() -> list[Node]:
    """Returns the nodes that Ray counts as alive, the head first."""
    alive = [one for one in ray.nodes() if one["Alive"]]
    found = [Node(one["NodeID"], _where(one), dict(one["Resources"])) for one in alive]
    return sorted(found, key=lambda node: ("node:__internal_head__" not in node.resources, node.where))


def kinds(found: Sequence[Node]) -> tuple[Kind, ...]:
    """Returns the nodes that there are."""
    return tuple(Kind(node.where, node.resources, 1) for node in found)


def launcher_file() -> Path | None:
    """Returns the file with the node types that the cluster's autoscaler may add, if that runs on this machine."""
    return file_of_the_autoscaler(ray.get_runtime_context().gcs_address)


def look_at(found: Sequence[Node], need: Need) -> list[Finding]:
    """Returns what is found on each node, and what is found by comparing them."""
    silent, there = _greeted(found)
    looks, troubles = _looked(there, need)
    of_each = [one for node, look in looks.items() for one in placed(look.findings, node.where)]
    return [
        *placed([ok("nodes", f"{len(looks)} of {len(found)} answer")] if looks else [], CLUSTER),
        *silent,
        *troubles,
        *of_each,
        *_not_arrived(looks, need),
        *compared(versions(), {node.where: look.versions for node, look in looks.items()}),
        *_clocks(list(looks)),
    ]


def compared(mine: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Returns where versions differ from the driver's; a wheel's build, as in `2.13.0+cpu`, may."""
    differing = [
        placed([problem("versions", f"{name} {has}, the driver has {mine[name]}", _SAME)], where)[0]
        for where, versions in theirs.items()
        for name, has in versions.items()
        if has.partition("+")[0] != mine[name].partition("+")[0]
    ]
    return differing or placed([ok("versions", "equal on all nodes")] if theirs else [], CLUSTER)


def offset(asked: float, said: float, answered: float) -> float:
    """Returns by how many seconds a clock is ahead (or, negative, behind) at the least.

    Args:
        asked: the driver's time before the question.
        said: the other's time.
        answered: the driver's time after the answer.
    """
    return max(0.0, said - answered) + min(0.0, said - asked)


def clock(off: float) -> Finding:
    """Returns what it means that a clock is off by that many seconds."""
    if abs(off) < _CLOCK_OFF:
        return ok("clock", f"within {_CLOCK_OFF:g} s of the driver's")
    says = f"at least {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the driver's"
    mend = "let both follow one time server: timedatectl set-ntp true, or chronyd"
    return (problem if abs(off) >= _CLOCK_WRONG else warning)("clock", says, mend)


def _join(address: str) -> None:
    ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL)


@ray.remote(max_retries=0, num_cpus=0)  # type: ignore[untyped-decorator]
def _time() -> float:
    return time.time()


@ray.remote(max_retries=0, num_cpus=0)  # type: ignore[untyped-decorator]
def _look(need: Need) -> Look:
    temp = os.path.dirname(ray._private.worker.global_worker.node.get_session_dir_path())
    return Look(versions(), run_checks(ON_EACH_MACHINE, replace(need, temp=temp)))


def _where(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} {node['NodeManagerAddress']} ({node['NodeID'][:6]})"


def _on(node: Node) -> dict[str, Any]:
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}


def _greeted(found: Sequence[Node]) -> tuple[list[Finding], list[Node]]:
    """Asks every node for its time; returns what is wrong with those that do not say it, and the others."""
    answers, silent = _answers({node: _time.options(**_on(node)).remote() for node in found}, _HELLO_SECONDS)
    return silent, list(answers)


def _looked(found: Sequence[Node], need: Need) -> tuple[dict[Node, Look], list[Finding]]:
    asked = {
        node: replace(
            need,
            name=node.id,
            gpus=node.resources.get("GPU", 0.0),
            object_store=node.resources.get("object_store_memory", 0.0),
        )
        for node in found
    }
    return _answers({node: _look.options(**_on(node)).remote(one) for node, one in asked.items()}, _LOOK_SECONDS)


def _not_arrived(looks: Mapping[Node, Look], need: Need) -> list[Finding]:
    """Returns what nodes wrote into the store and the driver does not see; those that could not write have said so."""
    if need.probe is None:
        return []
    wrote = [node for node, look in looks.items() if not has_problem(f for f in look.findings if f.check == "store")]
    return [one for node in wrote for one in placed(seen_from_the_driver(need.probe, node.id), node.where)]


def _answers(refs: Mapping[Node, Any], seconds: float) -> tuple[dict[Node, Any], list[Finding]]:
    """Returns the answers that come in time, and what is wrong with nodes from which none does."""
    ready, _ = ray.wait(list(refs.values()), num_returns=len(refs), timeout=seconds) if refs else ([], [])
    answers, wrong = dict[Node, Any](), list[Finding]()
    for node, ref in refs.items():
        if ref not in ready:
            ray.cancel(ref, force=True)
            wrong += placed([problem("nodes", f"no answer within {seconds:g} s", _RAYLET)], node.where)
            continue
        try:
            answers[node] = ray.get(ref)
        except ray.exceptions.RayError as error:
            says = f"cannot run a task of ours: {_reason(error)}"
            wrong += placed([problem("nodes", says, f"{_SAME}; {_RAYLET}")], node.where)
    return answers, wrong


def _reason(error: Exception) -> str:
    """Returns the last line of what Ray tells, which is the error; the first is Ray's own."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _clocks(found: Sequence[Node]) -> list[Finding]:
    """Asks processes that are warm by now, so that little time passes between question and answer."""
    findings = []
    for node in found:
        asked = time.time()
        try:
            said = ray.get(_time.options(**_on(node)).remote(), timeout=_CLOCK_SECONDS)
            findings += placed([clock(offset(asked, said, time.time()))], node.where)
        except ray.exceptions.RayError as error:
            findings += placed([problem("clock", f"not told: {first_line(error)}", _RAYLET)], node.where)
    return findings
