from typing import Any

import numpy as np
import pytest
import torch

from w2s_ray.models.head import LinearHead
from w2s_ray.training.evaluate import accuracy, predict
from w2s_ray.training.inputs import FeatureInputs, TextInputs


class Words:
    """A tokenizer of words; a word's id is its length."""

    pad_token_id, eos_token_id = 0, 99

    def __call__(self, texts: list[str], truncation: bool, max_length: int, **more: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[len(word) for word in text.split()][:max_length] for text in texts]}


def test_long_texts_are_cut_and_no_text_is_dropped() -> None:
    inputs = TextInputs(["a bb ccc dddd", "", "a"], Words(), 3)
    assert len(inputs) == 3
    assert inputs.lengths is not None
    assert inputs.lengths.tolist() == [3, 1, 1]
    batch = inputs.batch(np.array([2, 0, 1]), "cpu")
    assert batch["input_ids"].tolist() == [[1, 0, 0], [1, 2, 3], [99, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 0]]


def test_a_batch_is_only_as_wide_as_its_longest_text() -> None:
    assert TextInputs(["a b c", "a"], Words(), 9).batch(np.array([1]), "cpu")["input_ids"].shape == (1, 1)


def test_features_come_in_the_order_asked() -> None:
    inputs = FeatureInputs(np.arange(6, dtype=np.float32).reshape(3, 2))
    assert inputs.batch(np.array([2, 0]), "cpu")["features"].tolist() == [[4, 5], [0, 1]]
    assert inputs.lengths is None


class Bag(torch.nn.Module):
    """Scores a text by its sum of ids, so that order and padding could be confused."""

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        total = (batch["input_ids"] * batch["attention_mask"]).sum(dim=1).float()
        return torch.stack([torch.zeros_like(total), total / 10], dim=1)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_predictions_come_in_order_whatever_the_batches(size: int) -> None:
    texts = ["ccc ccc ccc", "a", "bb bb", "dddd"]
    probabilities = predict(Bag(), TextInputs(texts, Words(), 8), size)
    expected = torch.sigmoid(torch.tensor([0.9, 0.1, 0.4, 0.4]))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities[:, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_predicting_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no inputs"):
        predict(LinearHead(2, 2), FeatureInputs(np.empty((0, 2), dtype=np.float32)), 4)


def test_accuracy_is_the_share_of_right_classes() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], dtype=np.float32)
    assert accuracy(probabilities, np.array([0, 1, 1])) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="3 predictions with 2 classes"):
        accuracy(probabilities, np.array([0, 1]))
