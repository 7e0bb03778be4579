"""What commands do with a store in a bucket, and what they refuse before any work."""

from pathlib import Path
from typing import Any

import buckets
import pytest
from making import stage_of

from w2s_ray.commands.planning import show_plan
from w2s_ray.doctor.need import Need
from w2s_ray.doctor.store import probed, seen_from_the_driver
from w2s_ray.doctor.store import store as look
from w2s_ray.search.collect import collect
from w2s_ray.search.driver import run
from w2s_ray.search.folder import UnknownSweepError, load_spec, save_spec
from w2s_ray.search.known_stores import remember, store_with
from w2s_ray.search.plan import make_plan
from w2s_ray.search.resuming import resume_command
from w2s_ray.spec import SpecError, Sweep
from w2s_ray.spec.several import Several
from w2s_ray.stages import collect_bucket
from w2s_ray.stages.artifacts import WEIGHTS
from w2s_ray.stages.collect import References
from w2s_ray.stages.collect_bucket import find_garbage_in_bucket, remove_from_bucket
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.open import open_store
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

PRICES = Path(__file__).parents[2] / "cluster" / "plan_aws.yaml"


@pytest.fixture
def bucket(s3: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a store that was not made yet; this machine has no copy of it."""
    buckets.use(monkeypatch, s3)
    monkeypatch.setenv("W2S_CACHE", buckets.other_cache(str(Path("~/.cache/w2s_ray").expanduser()), f"{tmp_path}/a"))
    monkeypatch.delenv("W2S_STUDY_URL", raising=False)
    return f"s3://{buckets.make_bucket(s3)}/runs"


def in_bucket(data: dict[str, Any], bucket: str, **changes: Any) -> Sweep:
    return Sweep.model_validate({**data, "store": bucket, **changes})


def test_a_sweep_without_a_database_is_refused_with_what_to_set(small_data: dict[str, Any], bucket: str) -> None:
    with pytest.raises(SpecError, match=r"search.storage.*journal") as refused:
        run(in_bucket(small_data, bucket))
    assert "W2S_STUDY_URL" in str(refused.value)


def test_a_spec_with_credentials_in_its_store_is_refused_without_telling_them(small_data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX") as refused:
        in_bucket(small_data, "s3://key:hidden@bucket/x")
    assert "hidden" not in str(refused.value)


def test_a_plan_for_a_cluster_fetches_the_sweep_once(
    small_data: dict[str, Any], bucket: str, s3: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = in_bucket(small_data, bucket)
    with buckets.moody(s3) as front:
        buckets.use(monkeypatch, front.port)
        show_plan(Several("small", (sweep,)), PRICES, as_json=True)
    asked = [path for _, path in front.asked if path.endswith("/sweeps/small/sweep.yaml")]
    assert len(asked) == 1


def test_a_sweep_is_found_by_its_name_from_a_machine_that_knows_the_store(
    small_data: dict[str, Any], bucket: str, tmp_path: Path
) -> None:
    sweep, store = in_bucket(small_data, bucket), open_store(bucket)
    assert make_plan(sweep, store).stored == 0
    save_spec(store, sweep)
    remember(store)
    found = store_with("small", open_store(tmp_path / "here"))
    assert found.uri == bucket
    assert load_spec(found, "small") == sweep
    assert resume_command("small", found.uri) == f"w2s resume small --store {bucket}"
    with pytest.raises(UnknownSweepError, match=f"no sweep 'other' in {bucket}; there: small"):
        load_spec(found, "other")


def publish(store: Store, stage: Stage) -> None:
    with store.publish(stage, "small") as draft:
        (draft.path / WEIGHTS).write_bytes(b"weights")
        (draft.path / "curve.jsonl").write_text('{"step": 1}\n', encoding="utf-8")


def test_gc_finds_what_nobody_needs_and_removes_only_that(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(bucket)
    assert isinstance(store, ObjectStore)
    store.make()
    needed, slim, other, unfinished = (stage_of(seed) for seed in range(4))
    for stage in (needed, slim, other):
        publish(store, stage)
    store.objects.put(f"stages/{needed.address}/{'a' * 32}/{WEIGHTS}", b"of a writer that was killed")
    store.objects.put(f"work/{other.address}/checkpoint.safetensors", b"x")
    store.objects.put(f"work/{unfinished.address}/checkpoint.safetensors", b"x")
    references = References(
        needed=frozenset(stage.address for stage in (needed, slim, unfinished)),
        without_weights=frozenset({slim.address}),
    )
    young = find_garbage_in_bucket(store, references)
    assert sorted(one.kind for one in young) == ["checkpoint", "stage", "weights"]
    monkeypatch.setattr(collect_bucket, "_DAY", -1.0)  # as if all had been there for long
    garbage = find_garbage_in_bucket(store, references)
    assert {one.kind for one in garbage} == {"checkpoint", "stage", "weights", "draft", "scratch"}
    for one in garbage:
        remove_from_bucket(store, one)
    assert store.get(needed.address).file(WEIGHTS).read_bytes() == b"weights"
    assert store.get(slim.address).record.dropped == (WEIGHTS,)
    assert store.get(slim.address).curve() == [{"step": 1}]
    assert not store.has(other.address)
    assert store.newest_checkpoint(unfinished.address) is not None
    assert [key for key in store.objects.listing("") if other.address in key] == []


def test_gc_keeps_all_of_a_sweep_whose_study_is_not_found(small_data: dict[str, Any], bucket: str) -> None:
    store = open_store(bucket)
    save_spec(store, in_bucket(small_data, bucket))
    publish(store, stage_of())
    made = collect(store, yes=True)
    assert made.garbage == ()
    assert "all that sweep 'small' made is kept" in made.to_text()
    assert store.has(stage_of().address)


def test_the_doctor_writes_reads_and_tries_conditions_and_leaves_nothing(bucket: str) -> None:
    with probed(bucket) as (probe, troubles):
        assert troubles == []
        assert probe is not None
        (found,) = look(Need(name="node", probe=probe))
        assert (found.state, found.check) == ("ok", "store")
        assert seen_from_the_driver(probe, "node") == []
        assert len(seen_from_the_driver(probe, "another")) == 1
    store = open_store(bucket)
    assert isinstance(store, ObjectStore)
    assert store.objects.listing("") == {}


def test_the_doctor_names_a_bucket_that_is_not_there(bucket: str) -> None:
    with probed("s3://no-such-bucket-of-ours/x") as (probe, (trouble,)):
        assert probe is None
        assert "no-such-bucket-of-ours" in trouble.says
