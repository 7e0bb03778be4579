"""A sweep becomes the jobs and trials that are left of it, and its stages take what the like took."""

from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts, stages_of
from w2s_ray.planning.flops import flops_of
from w2s_ray.planning.jobs import Workload
from w2s_ray.planning.times import UnknownTimeError
from w2s_ray.planning.workload import open_experiments, plan_work
from w2s_ray.search.folder import journal_path
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Sweep, replace
from w2s_ray.spec.cluster import Cluster, NodeType
from w2s_ray.stages.stage import Stage, walk
from w2s_ray.stages.store import Store

CLUSTER = Cluster(nodes={"cpu": NodeType(cpus=4, max=8)})
WIDTH, LAYER = 384, 12 * 384**2  # of MiniLM

# 12 trials over two pairings and three methods: each method's defaults in both, then six drawn at random.
SPEC: dict[str, Any] = {
    "name": "small",
    "task": {"source": "movie-reviews", "splits": {"weak": 40, "student": 80, "validation": 20, "test": 60}},
    "models": {
        f"minilm-{depth}": {"source": "minilm", "depth": depth, "baseline": {"epochs": 3}} for depth in (0, 1, 2)
    },
    "pairings": [
        {"weak": "minilm-0", "strong": "minilm-2", "intermediates": ["minilm-1"]},
        {"weak": "minilm-1", "strong": "minilm-2", "intermediates": ["minilm-0"]},
    ],
    "methods": ["naive", "confidence", "bootstrap"],
    "space": {"lr": {"log_uniform": [1e-4, 1e-2]}},
    "seeds": [0, 1],
    "search": {"trials": 12, "parallelism": 4},
}


def sweep(**changes: Any) -> Sweep:
    return Sweep.model_validate({**SPEC, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def work_of(made: Sweep, store: Store) -> Workload:
    return plan_work(made, store, CLUSTER).work


def publish(store: Store, stage: Stage, seconds: float, **more: Any) -> None:
    with store.publish(stage) as draft:
        draft.seconds = {"stage": seconds, "loop": seconds}
        draft.usage = more.get("usage", [])


def test_every_stage_is_a_job_once_and_features_of_all_depths_are_one(store: Store) -> None:
    work = work_of(sweep(), store)
    labels = [job.label for job in work.jobs.values()]
    # Of two seeds: two weak supervisors and one ceiling; the defaults' students and chains; six draws' students.
    assert sum("weak" in label or "ceiling" in label for label in labels) == 2 * 3
    assert sum("student" in label for label in labels) == 2 * (6 + 6)
    assert sum("features" in label for label in labels) == 1
    assert len(work.trials) == 12
    assert work.parallelism == 4


def test_a_student_needs_its_supervisor_its_features_and_the_examples(store: Store) -> None:
    work = work_of(sweep(), store)
    student = work.jobs[work.trials[0].phases[0][-1]]
    assert student.label == "student minilm-2 seed 1"
    assert {work.jobs[key].label for key in student.needs} == {
        "weak minilm-0 seed 1",
        "features of minilm",
        "examples of movie-reviews",
    }


def test_with_a_pruner_no_student_but_the_first_seeds_is_asked_for_before_it_has_run(store: Store) -> None:
    made = sweep(search={"trials": 12, "parallelism": 4, "pruner": {"kind": "median"}})
    work = work_of(made, store)
    race, rest = work.trials[0].phases
    baselines = [f"{role} seed {seed}" for role in ("weak minilm-0", "ceiling minilm-2") for seed in (0, 1)]
    assert [work.jobs[key].label for key in race] == [*baselines, "student minilm-2 seed 0"]
    assert len(rest) == 6


def test_what_is_stored_is_no_job_and_trials_with_a_result_are_none(store: Store) -> None:
    made = sweep()
    parts = Parts(made)
    study = Study(parts, journal_path(store, made.name))
    first = study.ask()
    assert first is not None
    for stage in walk(*(stage for of_role in stages_of(parts, first).values() for stage in of_role)):
        publish(store, stage, 1.0)
    for _ in range(3):
        study.ask()
    study.tell(0, Outcome("complete", {"oracle": 0.7, "weak": 0.7}))
    assert [one.number for one in open_experiments(parts, store)] == list(range(1, 12))
    labels = [job.label for job in work_of(made, store).jobs.values()]
    assert "examples of movie-reviews" not in labels
    assert "weak minilm-0 seed 0" not in labels
    assert "weak minilm-1 seed 0" in labels


def test_drawn_trials_are_the_same_each_time_and_differ_among_themselves(store: Store) -> None:
    parts = Parts(sweep())
    drawn = [one.params["lr"] for one in open_experiments(parts, store)[6:]]
    assert drawn == [one.params["lr"] for one in open_experiments(parts, store)[6:]]
    assert len(set(drawn)) == 6


def test_a_grid_search_draws_each_point_once(store: Store) -> None:
    space = {"alpha": {"choice": [0.25, 0.5, 0.75], "when": {"method": "confidence"}}}
    made = sweep(space=space, search={"trials": 10, "sampler": "grid"})
    drawn = [(one.pairing, one.method, one.params.get("alpha")) for one in open_experiments(Parts(made), store)]
    assert len(set(drawn)) == len(drawn) == 10, "five points of two pairings"


def test_a_random_search_proposes_what_the_plan_drew(store: Store) -> None:
    made = sweep(search={"trials": 12, "parallelism": 12, "sampler": "random"})
    planned = open_experiments(Parts(made), store)
    study = Study(Parts(made), journal_path(store, made.name))
    assert [study.ask() for _ in range(12)] == planned


def student_of(made: Sweep) -> Stage:
    return Parts(made).baseline("minilm-2", "student", 0, "ceiling")


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        # 80 examples of 128 tokens in 3 epochs; 160 are predicted at the end, and none of 9 steps is a validation.
        ("full", (6 * 3 * 80 + 2 * 160) * 128 * 2 * LAYER),
        ("lora", (4 * 3 * 80 + 2 * 160) * 128 * 2 * LAYER),
        ("top", ((2 + 4 / 2) * 3 * 80 + 2 * 160) * 128 * 2 * LAYER),
        ("head", (6 * 3 * 80 + 2 * 160) * WIDTH * 2),
    ],
)
def test_flops_are_those_that_one_counts_by_hand(train: str, expected: float) -> None:
    made = sweep(models={name: {**model, "train": train} for name, model in SPEC["models"].items()})
    assert flops_of(student_of(made), made, None) == pytest.approx(expected)


def test_features_are_one_forward_pass_over_all_examples() -> None:
    made = sweep()
    assert flops_of(Parts(made).features("minilm-2"), made, 10) == pytest.approx(2 * 200 * 10 * 2 * LAYER)


def test_a_training_takes_what_the_like_took_times_the_ratio_of_flops(store: Store) -> None:
    made = sweep(models={name: {**model, "train": "full"} for name, model in SPEC["models"].items()})
    weak = Parts(made).baseline("minilm-1", "weak", 0, "weak")
    publish(store, weak, 10.0)
    jobs = {job.label: job for job in work_of(made, store).jobs.values()}
    ceiling = jobs["ceiling minilm-2 seed 0"]
    ratio = (flops_of(student_of(made), made, None) or 0) / (flops_of(weak, made, None) or 1)
    assert ceiling.seconds["cpu"] == pytest.approx(10.0 * ratio)
    twice = Cluster(nodes={"cpu": NodeType(cpus=4, speed=2)})
    jobs = {job.label: job for job in plan_work(made, store, twice).work.jobs.values()}
    assert jobs["ceiling minilm-2 seed 0"].seconds["cpu"] == pytest.approx(5.0 * ratio)


def test_what_was_measured_without_a_gpu_tells_nothing_of_one(store: Store) -> None:
    gpu = {"models": {name: {"gpus": 1} for name in SPEC["models"]}}
    made = sweep(resources=gpu)
    publish(store, Parts(made).baseline("minilm-0", "weak", 0, "weak"), 500.0)
    node = NodeType(cpus=8, gpus=1, tflops_per_gpu=10)
    jobs = {job.label: job for job in plan_work(made, store, Cluster(nodes={"gpu": node})).work.jobs.values()}
    assert jobs["weak minilm-0 seed 1"].seconds["gpu"] == pytest.approx(1.0, abs=0.01), "stage_seconds and next to none"
    look = {"time": 1.0, "gpu_0_memory_usage_megabytes": 5.0}
    publish(store, Parts(made).baseline("minilm-1", "weak", 0, "weak"), 500.0, usage=[look])
    jobs = {job.label: job for job in plan_work(made, store, Cluster(nodes={"gpu": node})).work.jobs.values()}
    assert jobs["weak minilm-1 seed 1"].seconds["gpu"] == 500.0


def test_a_model_of_unknown_size_that_nothing_measured_is_named(store: Store) -> None:
    hub = {"source": "someone/some-model", "revision": "0" * 40}
    made = sweep(models={**SPEC["models"], "minilm-2": hub})
    with pytest.raises(UnknownTimeError, match="how large someone/some-model is is not known"):
        work_of(made, store)


def test_only_trainings_go_on_from_a_checkpoint(store: Store) -> None:
    jobs = work_of(replace(sweep(), seeds=(0,)), store).jobs.values()
    assert {job.checkpoint_seconds for job in jobs if "student" in job.label} == {60}
    assert {job.checkpoint_seconds for job in jobs if "features" in job.label} == {None}
