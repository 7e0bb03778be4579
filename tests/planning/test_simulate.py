"""Schedules that one can compute by hand, and two bounds that none may beat."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.planning.fleet import Fleet
from w2s_ray.planning.jobs import Job, Trial, Workload, critical_path
from w2s_ray.planning.simulate import MOST_LOST, UnendingError, simulate
from w2s_ray.spec import Resources
from w2s_ray.spec.cluster import Cluster, NodeType

QUICK: dict[str, Any] = {"process_seconds": 0, "trial_seconds": 0, "driver_seconds": 0, "idle_minutes": 1}


def cluster(**node: Any) -> Cluster:
    return Cluster(nodes={"cpu": NodeType(cpus=1, startup_minutes=2, **node)}, **QUICK)


def job(key: str, seconds: float, *needs: str, **other: Any) -> Job:
    return Job(key, {"cpu": seconds}, {"CPU": 1}, needs, **other)


def work(*jobs: Job, trials: tuple[tuple[str, ...], ...], parallelism: int = 4) -> Workload:
    return Workload({one.key: one for one in jobs}, tuple(Trial((keys,)) for keys in trials), parallelism)


def test_two_nodes_run_what_does_not_depend_side_by_side() -> None:
    made = work(job("a", 10), job("b", 20), job("c", 5, "a"), trials=(("a", "b", "c"),))
    schedule = simulate(made, cluster(min=2, max=2))
    assert schedule.seconds == 20
    assert {(one.key, one.start, one.end) for one in schedule.tries} == {("a", 0, 10), ("c", 10, 15), ("b", 0, 20)}


def test_a_shared_job_runs_once() -> None:
    made = work(job("weak", 10), job("s0", 5, "weak"), job("s1", 5, "weak"), trials=(("s0",), ("s1",)))
    schedule = simulate(made, cluster(min=2, max=2))
    assert sorted(one.key for one in schedule.tries) == ["s0", "s1", "weak"]
    assert schedule.seconds == 15


def test_a_trial_waits_for_the_results_of_all_before_its_window() -> None:
    # Parallelism 2: trial 2 needs trial 0 (10 s), trial 3 needs trials 0 and 1 (10 s), though 1 ended at 2 s.
    jobs = [job("0", 10), job("1", 2), job("2", 1), job("3", 1)]
    schedule = simulate(work(*jobs, trials=(("0",), ("1",), ("2",), ("3",)), parallelism=2), cluster(min=4, max=4))
    assert {one.key: one.start for one in schedule.tries} == {"0": 0, "1": 0, "2": 10, "3": 10}


def test_nodes_are_asked_for_in_one_step_and_let_go_when_idle() -> None:
    made = work(job("a", 10), job("b", 200), trials=(("a", "b"),))
    schedule = simulate(made, cluster(min=0, max=5))
    assert schedule.seconds == 120 + 200
    assert [(node.asked, node.up, node.gone) for node in schedule.nodes] == [(0, 120, 190), (0, 120, None)]


def test_a_node_that_a_waiting_group_needs_is_kept_until_the_others_are_up() -> None:
    made = work(job("a", 10), job("group", 20, "a", workers=2), trials=(("group",),))
    schedule = simulate(made, cluster(max=2))
    assert [(one.key, one.start, one.end) for one in schedule.tries] == [("a", 120, 130), ("group", 250, 270)]
    assert [(node.asked, node.up) for node in schedule.nodes] == [(0, 120), (130, 250)]


def test_a_lost_node_costs_the_work_since_the_last_checkpoint() -> None:
    # The first node is lost at a time t that the seed gives; 120 s later another is up and does what is left.
    made = work(job("a", 3600, checkpoint_seconds=60), trials=(("a",),))
    schedule = simulate(made, cluster(max=1, preemptions_per_hour=1.0))
    lost = [one for one in schedule.tries if one.lost]
    assert lost, "the seed takes no node away; choose another"
    kept = sum((one.end - one.start) // 60 * 60 for one in lost)
    assert schedule.tries[-1].end - schedule.tries[-1].start == pytest.approx(3600 - kept)
    assert schedule.seconds == pytest.approx(120 * (1 + len(lost)) + sum(one.end - one.start for one in schedule.tries))


def test_a_job_that_is_always_lost_before_it_is_done_is_named_rather_than_tried_for_ever() -> None:
    made = work(job("prompting", 10 * 3600), trials=(("prompting",),))
    with pytest.raises(UnendingError, match=r"^prompting does not get done on nodes that are preempted this often: "):
        simulate(made, cluster(max=1, preemptions_per_hour=1.0))


def test_a_group_whose_nodes_are_never_there_together_is_named_too() -> None:
    made = work(job("group", 60, workers=8), trials=(("group",),))
    with pytest.raises(UnendingError, match=r"group does not get done .* needs on-demand nodes or checkpoints"):
        simulate(made, cluster(max=8, preemptions_per_hour=1000.0))


def test_checkpoints_bring_a_job_to_its_end_however_often_it_is_lost() -> None:
    made = work(job("student", 200 * 3600, checkpoint_seconds=60), trials=(("student",),))
    schedule = simulate(made, cluster(max=1, preemptions_per_hour=1.0))
    assert sum(one.lost for one in schedule.tries) > MOST_LOST
    assert not schedule.tries[-1].lost


def test_nodes_that_are_gone_are_not_looked_at_again() -> None:
    fleet = Fleet(cluster(max=2))
    first, second = fleet.launch("cpu", 0), fleet.launch("cpu", 1)
    fleet.let_go(first, 5)
    assert (fleet.alive(), fleet.nodes, first.gone) == ([second], [first, second], 5)


def test_what_no_node_type_has_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="big asks for 1 GPU, which no node type has"):
        simulate(work(Job("big", {"cpu": 1}, {"GPU": 1}), trials=(("big",),)), cluster())


@pytest.mark.parametrize(("demand", "processes"), [({"CPU": 1.0}, 1), ({"CPU": 1.0, "GPU": 1.0}, 3)])
def test_a_process_that_had_a_gpu_makes_no_second_stage(demand: dict[str, float], processes: int) -> None:
    node = NodeType(cpus=1, gpus=1, accelerator="A100", tflops_per_gpu=300, min=1)
    jobs = [Job(key, {"node": 10}, demand, needs) for key, needs in (("a", ()), ("b", ("a",)), ("c", ("b",)))]
    made = simulate(work(*jobs, trials=(("c",),)), Cluster(nodes={"node": node}, **QUICK | {"process_seconds": 7}))
    assert made.seconds == 3 * 10 + processes * 7


def test_each_job_runs_where_its_accelerator_and_custom_resources_are() -> None:
    big = NodeType(cpus=8, gpus=1, accelerator="A100", tflops_per_gpu=300, custom={"big": 1}, memory=100, price=4)
    kinds = {"big": big, "cheap": NodeType(cpus=8, custom={"cheap": 1}, price=1)}
    asked = {
        "weak": Resources(custom={"cheap": 0.01}),
        "strong": Resources(gpus=1, accelerator="A100", memory=60),
        "any": Resources(),
    }
    seconds = dict.fromkeys(kinds, 10.0)
    jobs = {name: Job(name, seconds, wanted.demand) for name, wanted in asked.items()}
    schedule = simulate(Workload(jobs, (Trial((tuple(jobs),)),), 1), Cluster(nodes=kinds, **QUICK))
    kind_of = {node.number: node.kind for node in schedule.nodes}
    ran = {one.key: kind_of[one.nodes[0]] for one in schedule.tries}
    assert ran == {"weak": "cheap", "strong": "big", "any": "cheap"}
    assert len(schedule.nodes) == 2


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"accelerator": "H100"}, "1 CPU and accelerator H100"),
        ({"custom": {"fast": 0.5}}, "1 CPU and 0.5 fast"),
        ({"memory": 80}, "1 CPU and 80 GB memory"),
    ],
)
def test_what_is_asked_for_beyond_cpus_is_refused_where_no_node_type_has_it(wanted: dict[str, Any], words: str) -> None:
    nodes = {"big": NodeType(cpus=8, accelerator="A100", custom={"big": 1}, memory=100)}
    made = Workload({"one": Job("one", {"big": 1}, Resources(**wanted).demand)}, (Trial((("one",),)),), 1)
    with pytest.raises(ValueError, match=f"asks for {words}, which no node type has"):
        simulate(made, Cluster(nodes=nodes, **QUICK))


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.sets(st.sampled_from([one.key for one in jobs]), max_size=2)) if jobs else set()
        jobs.append(job(str(number), draw(st.integers(1, 50)), *sorted(needs)))
    trials = [(one.key,) for one in jobs]
    return work(*jobs, trials=tuple(trials), parallelism=draw(st.integers(1, 5)))


@given(made=workloads(), nodes=st.integers(1, 4), is_fixed=st.booleans())
def test_no_schedule_is_shorter_than_the_critical_path_or_than_all_work_on_all_nodes(
    made: Workload, nodes: int, is_fixed: bool
) -> None:
    schedule = simulate(made, cluster(min=nodes if is_fixed else 0, max=nodes))
    assert schedule.seconds >= critical_path(made).seconds - 1e-6
    assert schedule.seconds >= sum(one.fastest for one in made.jobs.values()) / nodes - 1e-6
    assert len(schedule.tries) == len(made.jobs)
