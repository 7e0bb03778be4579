"""Hours and money of a schedule that one can compute by hand, and the command that shows them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from w2s_ray.planning.outlook import plan_on
from w2s_ray.planning.several import plan_all_on
from w2s_ray.spec import Sweep, replace, yaml
from w2s_ray.spec.cluster import Cluster
from w2s_ray.spec.problems import SpecError
from w2s_ray.spec.several import Several
from w2s_ray.stages.store import Store

ROOT = Path(__file__).parents[2]
EXACT: dict[str, Any] = {"process_seconds": 0, "trial_seconds": 0, "driver_seconds": 0, "stage_seconds": 360}
WORKER: dict[str, Any] = {"cpus": 1, "max": 2, "price": 10, "startup_minutes": 6, "tflops_per_cpu": 1e6}


@pytest.fixture
def sweep() -> Sweep:
    """Two models on frozen features and one trial: examples, features, weak, then ceiling and student."""
    model = {"source": "minilm", "max_length": 8}
    return Sweep.model_validate(
        {
            "name": "one",
            "task": {"source": "movie-reviews", "splits": {"weak": 4, "student": 4, "validation": 4, "test": 4}},
            "models": {"a": {**model, "depth": 0}, "b": {**model, "depth": 1}},
            "pairings": [{"weak": "a", "strong": "b"}],
            "methods": ["naive"],
            "seeds": [0],
            "search": {"trials": 1},
            "resources": {"features": {"cpus": 1}},
        }
    )


def on(sweep: Sweep, tmp_path: Path, **cluster: Any) -> Any:
    made = Cluster.model_validate({"nodes": {"head": {"min": 1, "price": 1}, "worker": WORKER}, **EXACT, **cluster})
    return plan_on(sweep, Store(tmp_path / "store"), made)


def test_time_hours_cost_and_utilization_are_those_one_computes_by_hand(sweep: Sweep, tmp_path: Path) -> None:
    # Every stage takes a tenth of an hour. One node is up after 0.1 h: examples 0.2, features 0.3; then weak and
    # ceiling are ready and a second node is asked for. The first does weak till 0.4 and, as that is up at 0.4 too, the
    # two do student and ceiling till 0.5. They were there 0.5 h and 0.2 h, and both wait 5 min at the end.
    outlook = on(sweep, tmp_path).outlooks["as given"]
    assert outlook.seconds == pytest.approx(0.5 * 3600, rel=1e-4)
    assert outlook.node_hours == {
        "head": pytest.approx(0.5, rel=1e-4),
        "worker": pytest.approx(0.5 + 0.2 + 2 * 5 / 60, rel=1e-4),
    }
    assert outlook.cost == pytest.approx(1 * 0.5 + 10 * (0.7 + 10 / 60), rel=1e-4)
    assert outlook.cpu_hours == pytest.approx(0.5, rel=1e-4)
    assert outlook.gpu_hours == 0
    assert outlook.utilization == pytest.approx(0.5 / (0.4 + 0.1), rel=1e-4)


def test_half_and_twice_the_nodes_leave_the_head_alone(sweep: Sweep, tmp_path: Path) -> None:
    outlooks = on(sweep, tmp_path).outlooks
    assert {name: one.nodes for name, one in outlooks.items()} == {
        "half the nodes": {"head": 1, "worker": 1},
        "as given": {"head": 1, "worker": 2},
        "twice the nodes": {"head": 1, "worker": 4},
    }
    assert outlooks["half the nodes"].seconds == pytest.approx(0.6 * 3600, rel=1e-4)
    assert outlooks["twice the nodes"].seconds == outlooks["as given"].seconds


def test_an_elastic_group_is_planned_as_wide_as_each_size_of_the_cluster_holds_it(sweep: Sweep, tmp_path: Path) -> None:
    strong = {**sweep.models["b"].model_dump(), "train": "full"}
    resources = {"features": {"cpus": 1}, "models": {"b": {"workers": 4, "min_workers": 1}}}
    sweep = replace(sweep, models={**sweep.models, "b": strong}, resources=resources)
    slow = {"worker": {**WORKER, "startup_minutes": 0, "tflops_per_cpu": 1e-5}}
    outlooks = on(sweep, tmp_path, group_seconds=0, stage_seconds=0, nodes=slow).outlooks
    one, two, four = (outlooks[size].seconds for size in ("half the nodes", "as given", "twice the nodes"))
    assert (one / two, two / four) == pytest.approx((2, 2), rel=1e-3)


def test_a_size_that_a_group_does_not_fit_says_so_in_its_column_and_the_others_stand(
    sweep: Sweep, tmp_path: Path
) -> None:
    strong = {**sweep.models["b"].model_dump(), "train": "full"}
    resources = {"features": {"cpus": 1}, "models": {"b": {"workers": 2}}}
    sweep = replace(sweep, models={**sweep.models, "b": strong}, resources=resources)
    plan = on(sweep, tmp_path)
    assert list(plan.outlooks) == ["as given", "twice the nodes"]
    assert plan.problems_text() == (
        "half the nodes: ceiling b seed 0 asks for 2 workers of 1 CPU, and all nodes together hold 1"
    )
    assert plan.to_json()["half_the_nodes"] == {"problem": plan.problems["half the nodes"]}
    assert "does not end" in shown(plan)


def test_nodes_that_are_always_lost_are_a_problem_of_the_size_that_has_them(sweep: Sweep, tmp_path: Path) -> None:
    lost = {"head": {"min": 1, "price": 1}, "worker": {**WORKER, "preemptions_per_hour": 10}}
    plan = on(sweep, tmp_path, nodes=lost, stage_seconds=36000)
    assert not plan.outlooks
    assert "as given: examples of movie-reviews does not get done on nodes" in plan.problems_text()
    assert shown(plan).count("does not end") == 3
    made = replace(sweep, store=str(tmp_path / "store"))
    cluster = Cluster.model_validate({"nodes": lost, **EXACT, "stage_seconds": 36000})
    both = plan_all_on(Several("both", (made,)), cluster, {})
    told: Any = both.to_json()
    assert told["as_given"] == {"problem": "does not end"}
    assert shown(both).count("does not end") == 6
    assert both.problems_text().startswith("one, half the nodes: examples of movie-reviews does not get done")


def shown(plan: Any) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(plan.to_table())
    return captured.get()


def test_a_large_model_is_planned_on_gpus_where_there_are_some_and_the_spec_does_not_say(
    sweep: Sweep, tmp_path: Path
) -> None:
    strong = {**sweep.models["b"].model_dump(), "depth": None, "train": "full"}
    sweep = replace(sweep, models={**sweep.models, "b": strong})
    gpu = {"cpus": 4, "gpus": 1, "max": 2, "tflops_per_gpu": 1e6}
    nodes = {"head": {"min": 1}, "cpu": WORKER, "gpu": gpu}
    outlook = on(sweep, tmp_path, nodes=nodes).outlooks["as given"]
    assert outlook.gpu_hours == pytest.approx(2 * 0.1, rel=1e-3), "student and ceiling, a tenth of an hour each"
    on_cpus = replace(sweep, resources={"features": {"cpus": 1}, "models": {"b": {"gpus": 0}}})
    assert on(on_cpus, tmp_path, nodes=nodes).outlooks["as given"].gpu_hours == 0


def test_the_critical_path_is_what_no_number_of_nodes_shortens(sweep: Sweep, tmp_path: Path) -> None:
    critical = on(sweep, tmp_path).critical
    assert [job.label for job in critical.jobs] == [
        "examples of movie-reviews",
        "features of minilm",
        "weak a seed 0",
        "student b seed 0",
    ]
    assert critical.seconds == pytest.approx(0.4 * 3600, rel=1e-4)


def test_a_sweep_that_is_done_takes_no_stage(sweep: Sweep, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for stage in _stages(sweep):
        with store.publish(stage) as draft:
            draft.seconds = {"stage": 1.0}
    outlook = on(sweep, tmp_path).outlooks["as given"]
    assert (outlook.cpu_hours, outlook.utilization, outlook.node_hours["head"]) == (0, 0, 0)


def _stages(sweep: Sweep) -> list[Any]:
    from w2s_ray.methods import Parts, plan_stages
    from w2s_ray.stages.stage import walk

    return list(walk(*plan_stages(Parts(sweep))))


def w2s(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_shows_three_sizes_and_starts_nothing(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    plan = ROOT / "cluster" / "plan_aws.yaml"
    done = w2s("plan", "one.yaml", "--cluster", str(plan), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("half the nodes", "cost, USD", "node-hours of gpu-spot", "critical path", "stage times    0 of 5"):
        assert part in done.stdout
    told = json.loads(w2s("plan", "one.yaml", "--cluster", str(plan), "--json", cwd=tmp_path).stdout)
    assert set(told["cluster"]) == {
        "currency", "jobs", "critical_path", "half_the_nodes", "as_given", "twice_the_nodes"
    }  # fmt: skip
    assert told["cluster"]["jobs"] == {"measured": 0, "modelled": 5}
    assert [path.name for path in tmp_path.iterdir()] == ["one.yaml"]


def test_nodes_without_a_price_are_not_taken_for_free_without_a_word(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    nodes = "head: {min: 1, price: 0}, mine: {cpus: 1}, spot: {cpus: 2}"
    (tmp_path / "cluster.yaml").write_text(f"nodes: {{{nodes}}}\n", encoding="utf-8")
    done = w2s("plan", "one.yaml", "--cluster", "cluster.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert "no price for mine, spot" in done.stderr
    assert json.loads(done.stdout)["cluster"]["as_given"]["cost"] == 0


def test_the_sweeps_of_a_file_add_up(sweep: Sweep, tmp_path: Path) -> None:
    made = [replace(sweep, name=f"both-{seed}", task=replace(sweep.task, seed=seed)) for seed in (1, 2)]
    cluster = Cluster.model_validate({"nodes": {"head": {"min": 1, "price": 1}, "worker": WORKER}, **EXACT})
    several = Several("both", tuple(replace(one, store=str(tmp_path / "store")) for one in made))
    told: Any = plan_all_on(several, cluster, {}).to_json()
    alone = on(sweep, tmp_path).outlooks["as given"]
    assert told["as_given"]["wall_seconds"] == pytest.approx(2 * alone.seconds, rel=1e-6)
    assert told["as_given"]["cost"] == pytest.approx(2 * alone.cost, rel=1e-4)
    assert list(told["sweeps"]) == ["both-1", "both-2"]
    assert list(plan_all_on(several, cluster, {"both-1": "no data"}).plans) == ["both-2"]


def test_a_mistake_in_the_clusters_file_is_answered_with_its_line(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    (tmp_path / "cluster.yaml").write_text("nodes:\n  cpu:\n    cpu: 4\n", encoding="utf-8")
    done = w2s("plan", "one.yaml", "--cluster", "cluster.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "cluster.yaml:3: nodes.cpu.cpu: unknown key 'cpu'; did you mean 'cpus'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes: {a: {cpus: 1, min: 3}}", "min must not be above max, got min 3 and max 1"),
        ("nodes: {a: {gpus: 1}}", "tflops_per_gpu is required"),
        ("nodes: {a: {price: 1}}", "no stage could run"),
        ("- a", "a cluster is a mapping that starts with 'nodes:'; see cluster/plan_aws.yaml"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        yaml.load_cluster(tmp_path / "cluster.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["aws.yaml", "one_machine/cluster.yaml", "kuberay/cluster.yaml", "kuberay/job.yaml"])
def test_a_file_that_starts_a_cluster_is_refused_with_what_to_name_instead(name: str) -> None:
    with pytest.raises(SpecError, match=r"starts a cluster.*name one with nodes and their prices"):
        yaml.load_cluster(ROOT / "cluster" / name)


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_the_files_to_plan_on_are_those_of_the_launcher(name: str) -> None:
    from ruamel.yaml import YAML

    planned = yaml.load_cluster(ROOT / "cluster" / f"plan_{name}.yaml")
    launcher = YAML(typ="safe").load(ROOT / "cluster" / f"{name}.yaml")
    kinds = launcher["available_node_types"]
    assert set(planned.nodes) == set(kinds)
    assert planned.idle_minutes == launcher["idle_timeout_minutes"]
    for kind, node in planned.nodes.items():
        assert {name: amount for name, amount in node.capacity.items() if 0 < amount < math.inf} == {
            name: amount for name, amount in kinds[kind]["resources"].items() if amount
        }
        assert node.priority == kinds[kind].get("priority", 0)
        assert (node.min, node.max) == (kinds[kind].get("min_workers", 1), kinds[kind].get("max_workers", 1))
        assert (node.preemptions_per_hour > 0) == (kinds[kind]["labels"]["ray.io/market-type"] == "spot")
