"""A plan counts what is there and what is missing, as one does by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts
from w2s_ray.search.plan import Plan, make_plan
from w2s_ray.spec import Sweep
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

# The sweep of conftest: pairings 0→2 via 1 and 1→2 via 0; naive, confidence, bootstrap; two seeds; 20 trials.
#
# Examples        1
# Features        3   one for each model
# Baselines       6   weak 0, weak 1 and ceiling 2 of two seeds; both pairings have the one ceiling
# Default trials 16   6 trials of 2 students each, and 2 bootstrap trials with 2 intermediates each
# Searched       28   14 trials of 2 students each; their intermediates are the defaults', since no space moves them
BASELINES, DEFAULTS, SEARCHED = 6, 6 * 2 + 2 * 2, 14 * 2
# Alone, each trial has 2 weak supervisors, 2 ceilings and 2 students, and bootstrap 2 intermediates more. Of 20 trials,
# methods in turn and two of each, bootstrap has 4 and 5, 10 and 11, 16 and 17.
ALONE = 20 * 6 + 6 * 2


def with_trials(sweep: Sweep, trials: int, **changes: Any) -> Sweep:
    data = sweep.model_dump(by_alias=True, exclude_none=True)
    return Sweep.model_validate({**data, **changes, "search": {**data["search"], "trials": trials}})


def publish(store: Store, stage: Stage, seconds: float = 2.0) -> None:
    with store.publish(stage) as draft:
        draft.seconds = {"stage": seconds, "loop": seconds}


def counts(plan: Plan) -> tuple[int, int, int, int]:
    return plan.stored, plan.to_run, plan.with_sharing, plan.without_sharing


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_where_nothing_is_stored_all_is_to_run(sweep: Sweep, store: Store) -> None:
    plan = make_plan(sweep, store)
    trainings = BASELINES + DEFAULTS + SEARCHED
    assert counts(plan) == (0, 1 + 3 + trainings, trainings, ALONE)
    assert plan.to_run_by_kind == {"examples": 1, "features": 3, "finetune": trainings}
    assert plan.seconds is None, "nothing was measured yet"


def test_planning_writes_nothing(sweep: Sweep, store: Store) -> None:
    make_plan(sweep, store)
    assert not store.root.exists()


def test_what_is_stored_is_not_to_run_and_the_totals_stay(sweep: Sweep, store: Store) -> None:
    parts = Parts(sweep)
    weak = [parts.baseline("minilm-0", "weak", seed, "weak") for seed in (0, 1)]
    for stage in (parts.examples, parts.features("minilm-0"), *weak):
        publish(store, stage)
    before, after = make_plan(sweep, Store(store.root / "elsewhere")), make_plan(sweep, store)
    assert counts(after) == (4, before.to_run - 4, before.with_sharing, before.without_sharing)
    assert after.to_run_by_kind == {
        "features": 2,
        "finetune": before.to_run_by_kind["finetune"] - 2,
    }


def test_the_time_left_is_that_of_the_like_stages_that_were_measured(sweep: Sweep, store: Store) -> None:
    parts = Parts(sweep)
    publish(store, parts.examples, seconds=100)
    publish(store, parts.features("minilm-0"), seconds=10)
    publish(store, parts.baseline("minilm-0", "weak", 0, "weak"), seconds=1)
    publish(store, parts.baseline("minilm-0", "weak", 1, "weak"), seconds=3)
    plan = make_plan(sweep, store)
    trainings = BASELINES + DEFAULTS + SEARCHED
    assert plan.seconds == pytest.approx(0 * 100 + 2 * 10 + (trainings - 2) * 2)


def test_a_stage_of_another_sweep_counts_if_it_is_the_same(sweep: Sweep, store: Store) -> None:
    publish(store, Parts(with_trials(sweep, 20, name="another")).examples)
    assert make_plan(sweep, store).stored == 1


def test_a_budget_below_the_defaults_plans_as_many_trials_as_it_has(sweep: Sweep, store: Store) -> None:
    # Two trials: naive of both pairings, so no intermediates, and no third model's features but all three are in use.
    plan = make_plan(with_trials(sweep, 2), store)
    assert counts(plan) == (0, 1 + 3 + BASELINES + 2 * 2, BASELINES + 2 * 2, 2 * 6)


def test_where_the_space_moves_intermediates_searched_chains_bring_their_own(sweep: Sweep, store: Store) -> None:
    space = {"intermediate.lr": {"log_uniform": [1e-4, 1e-2]}}
    plan = make_plan(with_trials(sweep, 20, space=space), store)
    searched_chains = 4  # trials 10, 11, 16 and 17
    # Without alpha in the space, naive and confidence still differ in their students; lr and epochs are baselines'.
    assert plan.with_sharing == BASELINES + DEFAULTS + SEARCHED + searched_chains * 2
    assert plan.without_sharing == ALONE


@pytest.mark.parametrize(("parameter", "own"), [("lr", 2), ("probe_l2", 0)])
def test_a_searched_probe_brings_its_own_finetuned_model_where_the_space_moves_it(
    sweep: Sweep, store: Store, parameter: str, own: int
) -> None:
    changes = {
        "models": {name: {**model.model_dump(), "train": "full"} for name, model in sweep.models.items()},
        "methods": {"naive": {}, "probe": {"probe_after": "weak"}},
        "space": {parameter: {"log_uniform": [1e-4, 1e-2]}},
    }
    plan = make_plan(with_trials(sweep, 8, **changes), store)
    # Two pairings, two seeds: 2 default trials of each method, of which a probe's finetuned model is the naive student,
    # and 2 searched ones of each.
    assert plan.with_sharing == BASELINES + 2 * 2 + 2 * 2 + 2 * 2 + 2 * (2 + own)


def test_the_plan_for_people_and_the_one_for_scripts_say_the_same(sweep: Sweep, store: Store) -> None:
    plan = make_plan(sweep, store)
    assert plan.to_json() == {
        "sweep": "small",
        "trials": 20,
        "stages": {"stored": 0, "to_run": plan.to_run},
        "trainings": {"without_sharing": ALONE, "with_sharing": plan.with_sharing},
    }
    text = plan.to_text()
    assert f"0 stored, {plan.to_run} to run (1 examples, 3 features, {plan.with_sharing} finetune)" in text
    assert f"{plan.with_sharing} in all; {ALONE} if nothing were shared ({ALONE - plan.with_sharing} saved)" in text
    assert "unknown until" in text


def test_weights_and_checkpoints_of_full_finetuning_are_in_the_forecast(sweep: Sweep, store: Store) -> None:
    heads = make_plan(sweep, store)
    full = {name: {**model.model_dump(), "train": "full"} for name, model in sweep.models.items()}
    plan = make_plan(with_trials(sweep, 20, models=full), store)
    weights = 4 * (22_713_216 - 6 * 12 * 384**2)  # of MiniLM without its layers: less than any model here
    assert heads.bytes is not None
    assert plan.bytes is not None
    assert plan.bytes > heads.bytes + plan.with_sharing * weights


def test_what_does_not_store_a_whole_model_is_not_forecast_as_one(sweep: Sweep, store: Store) -> None:
    def size(train: str, **options: int) -> int:
        models = {name: {**model.model_dump(), "train": train, **options} for name, model in sweep.models.items()}
        plan = make_plan(with_trials(sweep, 2, models=models, methods={"naive": {}}, space={}), store)
        assert plan.bytes is not None
        return plan.bytes

    whole = size("full")
    assert size("logistic") < 0.1 * whole
    assert size("logistic") < size("knn") < 0.1 * whole
    assert size("lora", lora_rank=4) < size("lora", lora_rank=8) < 0.5 * whole


def test_a_plan_that_does_not_fit_on_the_disk_says_so(sweep: Sweep, store: Store) -> None:
    plan = replace(make_plan(sweep, store), bytes=5_000_000, free=4_000_000)
    assert "warning    the rest may take 5.0 MB of disk, and 4.0 MB are free" in plan.to_text()
    assert "warning" not in replace(plan, free=6_000_000).to_text()
    assert "warning" not in replace(plan, bytes=0, free=0).to_text(), "nothing is left to run"


def test_a_model_whose_size_is_unknown_leaves_the_disk_unknown(sweep: Sweep, store: Store) -> None:
    hub = {"source": "someone/some-model", "revision": "0" * 40}
    plan = make_plan(with_trials(sweep, 20, models={**sweep.model_dump()["models"], "minilm-2": hub}), store)
    assert plan.bytes is None
    assert "disk       unknown until the models are here" in plan.to_text()
