"""What a pretrained decoder answers to a prompt, untrained: the probability of each of a few given answers.

An answer's score is the sum of the log probabilities of its tokens after the prompt; scores are normalized over the
answers. Answers that differ in their last token alone, such as 0 and 1, are read from a single pass.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoModelForCausalLM

from w2s_ray.models.load import pretrained
from w2s_ray.training.batches import by_tokens
from w2s_ray.training.device import room_on

_TOKENS = {"cpu": 1024, "cuda": 16_384}
"""Tokens per batch, with padding; each has logits over the whole vocabulary."""

Tokens = Sequence[int]


def load_language_model(folder: Path) -> nn.Module:
    """Loads a decoder with its language model head, on the CPU, in float32 and in eval mode.

    Raises:
        ValueError: the folder holds no such head, as encoders do; or what `pretrained` refuses.
    """
    model, info = pretrained(AutoModelForCausalLM, folder, output_loading_info=True)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ValueError(f"{folder} has no language model head ({missing[0]} is missing); prompting needs a decoder")
    network: nn.Module = model.eval()
    return network


def answer_probabilities(
    model: nn.Module, prompts: Sequence[Tokens], answers: Sequence[Tokens], padding: int, device: str = "cpu"
) -> NDArray[np.float32]:
    """Returns the probability of each answer to each prompt, shape (prompts, answers), rows summing to 1.

    Args:
        model: maps `input_ids` and `attention_mask` to `logits`.
        prompts: token ids, one or more each.
        answers: token ids, one or more each.
        padding: any token id; padded places are masked.
        device: where to compute.

    Raises:
        ValueError: a prompt or an answer is empty.
        DeviceOutOfMemory: the device has no room for the model, or for a batch.
    """
    if not all(map(len, prompts)) or not all(map(len, answers)):
        raise ValueError("a prompt and an answer have one token or more")
    scores = np.empty((len(prompts), len(answers)), dtype=np.float64)
    with room_on(device):
        model = model.to(device)
        for stem in dict.fromkeys(tuple(answer[:-1]) for answer in answers):
            columns = [number for number, answer in enumerate(answers) if tuple(answer[:-1]) == stem]
            _score(model, prompts, stem, [answers[number] for number in columns], scores, columns, padding, device)
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def _score(
    model: nn.Module,
    prompts: Sequence[Tokens],
    stem: Tokens,
    answers: Sequence[Tokens],
    scores: NDArray[np.float64],
    columns: Sequence[int],
    padding: int,
    device: str,
) -> None:
    """Fills the columns of `scores` that belong to answers which are all `stem` and one token more."""
    whole = [[*prompt, *stem] for prompt in prompts]
    lengths = np.array([len(tokens) for tokens in whole], dtype=np.int64)
    for rows in by_tokens(lengths, _TOKENS[torch.device(device).type]):
        ids = torch.full((len(rows), int(lengths[rows].max())), padding)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : lengths[row]] = torch.tensor(whole[row])
            mask[place, : lengths[row]] = 1
        with torch.inference_mode():
            logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        for place, row in enumerate(rows):
            # The token at place t is predicted from t - 1; the answer begins right after the prompt.
            logs = torch.log_softmax(logits[place, len(prompts[row]) - 1 : lengths[row]].double(), dim=1).cpu().numpy()
            for column, answer in zip(columns, answers, strict=True):
                scores[row, column] = logs[np.arange(len(answer)), list(answer)].sum()
