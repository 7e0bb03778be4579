"""Scores of answers against the plain statement: one prompt, one answer, one pass, no padding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from w2s_ray.models.answers import answer_probabilities, load_language_model
from w2s_ray.training.errors import DeviceOutOfMemory

PROMPTS = [[3, 9], [4, 5, 6, 7, 8, 9, 10, 11], [12], [0, 0, 0, 1]]


def plain(model: torch.nn.Module, prompt: list[int], answers: list[list[int]]) -> list[float]:
    scores = []
    for answer in answers:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
        logs = torch.log_softmax(logits.double(), dim=1)
        scores.append(sum(float(logs[len(prompt) - 1 + place, token]) for place, token in enumerate(answer)))
    return torch.softmax(torch.tensor(scores), dim=0).tolist()


@pytest.fixture(params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, decoder: Path) -> torch.nn.Module:
    if request.param == "llama":
        return load_language_model(decoder)
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=13, n_positions=32)).eval()


@pytest.mark.parametrize("answers", [[[3], [4]], [[5, 3], [5, 4]], [[3], [4, 5], [6, 7, 8]]])
def test_batched_scores_are_those_of_one_answer_at_a_time(model: torch.nn.Module, answers: list[list[int]]) -> None:
    made = answer_probabilities(model, PROMPTS, answers, padding=0)
    for row, prompt in enumerate(PROMPTS):
        assert made[row] == pytest.approx(plain(model, prompt, answers), abs=1e-4)
    assert made.sum(axis=1) == pytest.approx(np.ones(len(PROMPTS)), abs=1e-5)


def test_what_stands_in_masked_places_changes_nothing(model: torch.nn.Module) -> None:
    first, second = (answer_probabilities(model, PROMPTS, [[3], [4]], padding=token) for token in (0, 7))
    assert first == pytest.approx(second, abs=1e-5)


def test_an_empty_prompt_or_answer_is_refused(model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="one token or more"):
        answer_probabilities(model, [[]], [[3]], padding=0)
    with pytest.raises(ValueError, match="one token or more"):
        answer_probabilities(model, [[3]], [[], [3]], padding=0)


def test_a_full_device_says_what_would_help() -> None:
    class Full(torch.nn.Module):
        def forward(self, **batch: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceOutOfMemory, match="give the stage more of a GPU"):
        answer_probabilities(Full(), PROMPTS, [[3], [4]], padding=0)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_a_model_without_a_language_head_is_refused_and_not_given_a_random_one(
    folders: dict[str, Path], name: str
) -> None:
    with pytest.raises(ValueError, match="prompting needs a decoder"):
        load_language_model(folders[name])
