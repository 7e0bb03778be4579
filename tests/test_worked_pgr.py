"""A whole sweep whose PGR is known: probes on two numbers, drawn from Gaussians, against a closed form.

Every text is one word, and a model of embeddings alone gives each word its numbers, so what the probes read is exactly
what was drawn, through the real command line, tokenizer, features, trainings and report.
"""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from making import save_word_tokenizer
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaModel

import w2s_ray
from w2s_ray.spec import Sweep, yaml

CASES = {"simulable": (0.35, 0.0), "half": (0.35, 0.7), "noisy": (0.2, 1.0)}
"""Angle d of the supervisor's direction to the truth, and its noise s."""
SPLITS = {"weak": 4000, "student": 16_000, "validation": 200, "test": 4000}


def save_model(folder: Path, numbers: NDArray[np.float64]) -> None:
    """Saves a decoder whose embedding of the word `e17` is row 17 of `numbers`, shape (words, 2)."""
    words = ["[UNK]", "<eos>", *(f"e{row}" for row in range(len(numbers)))]
    save_word_tokenizer(folder, words)
    sizes: dict[str, Any] = {"hidden_size": 2, "intermediate_size": 2, "num_hidden_layers": 1, "vocab_size": len(words)}
    model = LlamaModel(LlamaConfig(**sizes, num_attention_heads=1, num_key_value_heads=1))
    with torch.no_grad():
        model.embed_tokens.weight[2:] = torch.from_numpy(numbers)
    model.save_pretrained(folder)


def save_world(folder: Path) -> None:
    """Draws x, and for each case a supervisor's number w; writes the table, the models and the sweep."""
    draw = np.random.default_rng(0)
    count = round(1.15 * sum(SPLITS.values()))
    x, noise = draw.normal(size=(count, 2)), draw.normal(size=count)
    rows = "".join(f"e{row},{int(first > 0)}\n" for row, first in enumerate(x[:, 0]))
    (folder / "points.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    save_model(folder / "both", x)
    for name, (angle, deviation) in CASES.items():
        w = math.cos(angle) * x[:, 0] + math.sin(angle) * x[:, 1] + deviation * noise
        save_model(folder / name, np.stack([w, np.zeros(count)], axis=1))
    once = {"depth": 0, "max_length": 4, "train": "logistic"}
    by_steps = {"lr": 5e-2, "epochs": 2, "batch_size": 64, "eval_every": 500}
    sweep = {
        "name": "points",
        "task": {"source": "points.csv", "splits": SPLITS},
        "models": {
            **{name: {"source": name, **once, "features": 1} for name in CASES},
            "logistic": {"source": "both", **once},
            "head": {"source": "both", **once, "train": "head", "baseline": by_steps},
        },
        "pairings": [{"weak": name, "strong": strong} for strong in ("logistic", "head") for name in CASES],
        "methods": ["naive"],
        "seeds": [0],
        "search": {"trials": 6},
        "tracking": {"enabled": False},
    }
    (folder / "points.yaml").write_text(yaml.dump(Sweep.model_validate(sweep)), encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("points")
    save_world(folder)
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", "run", "points.yaml"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = w2s_ray.load("points", store=folder / "w2s-runs").results
    return found[found["method"] == "naive"].set_index(["weak", "strong"])


@pytest.mark.parametrize("strong", ["logistic", "head"])
@pytest.mark.parametrize("case", CASES)
def test_a_probe_sweep_on_two_gaussian_numbers_has_the_pgr_of_the_closed_form(
    results: pd.DataFrame, case: str, strong: str
) -> None:
    """PGR is 1 - d / e: the student sheds the errors that it cannot express, and repeats those that it can.

    x ~ N(0, I) in the plane; the truth is sign(x1), which a ceiling that reads x learns whole: C = 1. The supervisor
    reads w = x1 cos d + x2 sin d + s n alone, n ~ N(0, 1). Trained on the truth, it says sign(w). Of Gaussians with
    correlation cos e the signs differ with probability e / pi, so W = 1 - e / pi with cos e = cos d / sqrt(1 + s²).

    The student reads x and learns the soft label g(w), g = sigma(a w), with cross entropy. At the minimum over b
    E[(sigma(b·x) - g(w)) x] = 0; by Stein's lemma b E[sigma'(b·x)] = E[g'(w)] cov(w, x), so b points along
    (cos d, sin d) whatever a and s are: n averages out, and S = 1 - d / pi. Hence PGR = (e - d) / e. At s = 0 it is 0,
    as where errors can be simulated (Burns et al., E.1).

    Tolerance. To first order PGR - r is the mean of (1 - r) [weak wrong] - [student wrong] over the test examples,
    divided by e / pi. Both indicators are binomial, and exactly one of them is 1 where the student differs from its
    supervisor, which has probability arccos(1 / sqrt(1 + s²)) / pi. Four of these standard errors, and 0.01 for what
    16,000 labels leave open of the student's angle.
    """
    d, s = CASES[case]
    e = math.acos(math.cos(d) / math.sqrt(1 + s**2))
    weak_wrong, student_wrong, differ = e / math.pi, d / math.pi, math.acos(1 / math.sqrt(1 + s**2)) / math.pi
    kept = d / e  # 1 - r
    both_wrong = (weak_wrong + student_wrong - differ) / 2
    variance = student_wrong + kept**2 * weak_wrong - 2 * kept * both_wrong
    error = math.sqrt(max(variance, 0) / SPLITS["test"])

    found = results.loc[(case, strong)]
    binomial = math.sqrt(weak_wrong * (1 - weak_wrong) / SPLITS["test"])
    assert found["weak_accuracy"] == pytest.approx(1 - weak_wrong, abs=4 * binomial)
    assert found["ceiling_accuracy"] > 0.99
    assert found["pgr"] == pytest.approx(1 - kept, abs=4 * error / weak_wrong + 0.01)
    assert found["agreement"] == pytest.approx(1 - differ, abs=4 * math.sqrt(differ / SPLITS["test"]) + 0.01)
