"""A checkpoint whose bytes were altered is passed over with a warning, or says exactly what was saved."""

import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.training.checkpoints import Checkpoints, Snapshot

SAVED = Snapshot(
    step=1234,
    weights={"head.weight": torch.arange(6.0).reshape(2, 3), "head.bias": torch.ones(2)},
    moments={"0.exp_avg": torch.zeros(2, 3), "0.step": torch.tensor(7.0)},
    curve=[{"step": 600, "validation_accuracy": 0.75, "train_loss": 0.5}],
    losses=(12.5, 34),
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Checkpoints(tmp_path_factory.mktemp("saved") / "checkpoints", 0).save(SAVED).read_bytes()


def same(one: Snapshot, other: Snapshot) -> bool:
    tensors = [(one.weights, other.weights), (one.moments, other.moments)]
    return (one.step, one.curve, one.losses) == (other.step, other.curve, other.losses) and all(
        mine.keys() == yours.keys() and all(torch.equal(mine[name], yours[name]) for name in mine)
        for mine, yours in tensors
    )


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_an_altered_checkpoint_is_never_taken_for_another(
    saved: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(saved)
    at = data.draw(st.integers(0, len(content) - 1), label="where")
    length = data.draw(st.sampled_from([0, 1, 1, 1, 8]), label="how much goes")
    content[at : at + length] = data.draw(st.binary(min_size=int(length < 2), max_size=4), label="what comes")
    found = resumed(tmp_path_factory.getbasetemp() / "altered", bytes(content))
    assert found is None or same(found, SAVED)


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=100))
def test_any_bytes_are_no_checkpoint(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    assert resumed(tmp_path_factory.getbasetemp() / "any", content) is None


def resumed(folder: Path, content: bytes) -> Snapshot | None:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints" / "step-000001234.safetensors").write_bytes(content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = Checkpoints(folder / "checkpoints", 0).resume()
    assert found is not None or "is damaged and is not used" in str(said[0].message)
    return found
