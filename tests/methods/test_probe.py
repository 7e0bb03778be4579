"""The method `probe`: which model's features, whose labels, and what it adds to the stages that are there anyway."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import make, save_word_tokenizer
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaModel

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.methods.experiment import default_params
from w2s_ray.models.head import LinearHead
from w2s_ray.report.wording import settings
from w2s_ray.spec import Sweep, yaml
from w2s_ray.stages.artifacts import EXAMPLES, FEATURES, WEIGHTS, Examples
from w2s_ray.stages.collect import drop_file
from w2s_ray.stages.errors import MissingStageError
from w2s_ray.stages.run import _check_inputs
from w2s_ray.stages.stage import Finetune, Stage, knows_truth, walk
from w2s_ray.stages.store import Store

GOOD, BAD, OTHER = ["fine", "great", "lovely"], ["poor", "awful", "dull"], ["a", "film", "the", "it", "plot"]
BARS = [(labels, after) for labels in ("weak", "truth") for after in ("none", "weak")]

Sweeps = Callable[..., Sweep]
Roles = dict[str, Stage]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Sweeps:
    """Returns a sweep over a table of reviews, with a tiny pretrained model whose strong one is trained so."""
    root = tmp_path_factory.mktemp("probe")
    words = ["[UNK]", "<eos>", *GOOD, *BAD, *OTHER]
    save_word_tokenizer(root, words)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "vocab_size": 13}
    LlamaModel(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2)).save_pretrained(root)
    draw, rows = np.random.default_rng(0), dict[str, int]()
    while len(rows) < 500:
        label = len(rows) % 2
        rows[
            " ".join([*draw.choice(GOOD if label else BAD, 1), *draw.choice(OTHER, 3), *draw.choice(GOOD + BAD, 1)])
        ] = label
    table = "".join(f"{text},{label}\n" for text, label in rows.items())
    (root / "reviews.csv").write_text(f"text,label\n{table}", encoding="utf-8")

    def make(train: str = "full", **more: Any) -> Sweep:
        model = {"source": str(root), "max_length": 16}
        baseline = {"lr": 1e-2, "epochs": 2, "batch_size": 16, "eval_every": 10}
        return Sweep.model_validate(
            {
                "name": "probes",
                "task": {
                    "source": str(root / "reviews.csv"),
                    "splits": {"weak": 60, "student": 80, "validation": 40, "test": 40},
                },
                "models": {
                    "weak": {**model, "depth": 0, "train": "logistic"},
                    "strong": {**model, "depth": 1, "train": train, "baseline": baseline},
                },
                "pairings": [{"weak": "weak", "strong": "strong"}],
                "methods": ["naive", "probe"],
                "seeds": [0],
                "search": {"trials": 2},
                **more,
            }
        )

    return make


def roles(sweep: Sweep, method: str = "probe", **params: Any) -> Roles:
    asked = {**sweep.settings_of(method), **params}
    made = stages_of(Parts(sweep), Experiment(0, "weak→strong", method, asked, default=False))
    return {role: of_role[0] for role, of_role in made.items()}


def probe(sweep: Sweep, labels: str, after: str, **params: Any) -> Roles:
    return roles(sweep, probe_labels=labels, probe_after=after, **params)


@pytest.mark.parametrize(("labels", "after"), BARS)
def test_a_probe_reads_the_features_and_the_labels_it_is_asked_for(sweeps: Sweeps, labels: str, after: str) -> None:
    made = probe(sweeps(), labels, after)
    student = made["student"]
    assert isinstance(student.settings, Finetune)
    assert (student.settings.train, student.settings.half, student.settings.l2) == ("logistic", "student", 1e-3)
    assert student.inputs.get("labels") == (made["weak"] if labels == "weak" else None)
    assert student.inputs["features"].inputs.get("weights") == made.get("finetuned")
    assert ("finetuned" in made) == (after == "weak")


def test_the_finetuned_model_under_a_probe_is_the_naive_student_and_is_trained_once(sweeps: Sweeps) -> None:
    sweep = sweeps()
    for params in ({}, {"lr": 3e-3, "epochs": 1, "labels.harden": True, "smoothing": 0.1}):
        naive = roles(sweep, "naive", **params)
        for labels in ("weak", "truth"):
            made = probe(sweep, labels, "weak", **params)
            assert made["finetuned"] == naive["student"]
            new = set(walk(*made.values())) - set(walk(*naive.values()))
            assert sorted(stage.kind for stage in new) == ["features", "finetune"]


def test_a_probe_of_the_pretrained_model_is_that_of_a_model_trained_so(sweeps: Sweeps) -> None:
    logistic = sweeps("logistic")
    assert probe(sweeps(), "weak", "none")["student"] == roles(logistic, "naive")["student"]
    assert probe(sweeps(), "truth", "none")["student"] == roles(logistic, "naive")["ceiling"]


def test_the_penalty_is_the_probes_alone_and_a_trainings_settings_are_the_finetunings(sweeps: Sweeps) -> None:
    plain, other = probe(sweeps(), "truth", "weak"), probe(sweeps(), "truth", "weak", probe_l2=0.1)
    assert other["finetuned"] == plain["finetuned"]
    assert other["student"] != plain["student"]
    assert probe(sweeps(), "truth", "none", lr=1e-4) == probe(sweeps(), "truth", "none")
    assert probe(sweeps(), "truth", "weak", lr=1e-4)["student"] != plain["student"]


@pytest.mark.parametrize(("labels", "after"), BARS)
def test_a_probe_that_learns_ground_truth_says_so(sweeps: Sweeps, labels: str, after: str) -> None:
    student = probe(sweeps(), labels, after)["student"]
    assert knows_truth(student) == (labels == "truth")
    assert ("a cheat" in settings({"probe_labels": labels, "probe_after": after})) == (labels == "truth")


@pytest.mark.parametrize("where", ["methods", "space"])
@pytest.mark.parametrize("train", ["head", "logistic"])
def test_frozen_features_are_not_probed_as_finetuned_ones(sweeps: Sweeps, train: str, where: str) -> None:
    asked: dict[str, Any] = (
        {"methods": {"naive": {}, "probe": {"probe_after": "weak"}}}
        if where == "methods"
        else {"space": {"probe_after": {"choice": ["none", "weak"]}}}
    )
    with pytest.raises(ValueError, match=rf"'strong' are frozen \(train: {train}\); name a model with train: full"):
        sweeps(train, **asked)
    assert sweeps("lora", **asked)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("probe_labels", "test", "weak"), ("probe_after", "truth", "none"), ("probe_l2", 0, "greater than 0")],
)
def test_a_setting_of_a_probe_that_means_nothing_is_refused(
    sweeps: Sweeps, name: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"methods.probe.{name}: {name}: Input should be .*{message}"):
        sweeps(methods={"naive": {}, "probe": {name: value}})


def test_a_probe_can_be_searched_and_begins_with_its_defaults(sweeps: Sweeps) -> None:
    space = {
        "probe_labels": {"choice": ["truth", "weak"]},
        "probe_after": {"choice": ["none", "weak"]},
        "probe_l2": {"log_uniform": [1e-4, 1]},
    }
    sweep = sweeps(space=space)
    found = default_params(sweep, sweep.pairings[0], "probe")
    assert found == {"probe_labels": "weak", "probe_after": "none", "probe_l2": 1e-3}
    assert default_params(sweep, sweep.pairings[0], "naive") == {}


@pytest.mark.parametrize("train", ["full", "top", "lp-ft", "lora"])
def test_the_features_of_a_finetuned_model_are_what_its_own_head_reads(
    sweeps: Sweeps, tmp_path: Path, train: str
) -> None:
    made, store = probe(sweeps(train), "truth", "weak"), Store(tmp_path)
    make(made["student"], store)
    finetuned, tuned = store.get(made["finetuned"].address), made["student"].inputs["features"]
    examples = Examples.read(store.get(finetuned.record.identity["inputs"]["examples"]).file(EXAMPLES))
    features = load_file(store.get(tuned.address).file(FEATURES))["features"]
    weights = load_file(finetuned.file(WEIGHTS))
    head = LinearHead(16, 2)
    head.load_state_dict({n.removeprefix("head."): one for n, one in weights.items() if n.startswith("head.")})
    with torch.no_grad():
        said = torch.softmax(head({"features": features[examples.rows("test")]}), dim=1).numpy()
    predictions = finetuned.predictions().of("test")
    assert predictions.ids.tolist() == examples.ids[examples.rows("test")].tolist()
    np.testing.assert_allclose(said, predictions.probabilities, atol=1e-5)
    base = Parts(sweeps(train)).features("strong")
    make(base, store)
    pretrained = load_file(store.get(base.address).file(FEATURES))["features"]
    assert (features - pretrained).abs().max() > 1e-3


def test_a_finetuned_model_whose_weights_were_collected_is_made_again_for_a_probe(
    sweeps: Sweeps, tmp_path: Path
) -> None:
    made, store = probe(sweeps(), "truth", "weak"), Store(tmp_path)
    finetuned, tuned = made["finetuned"], made["student"].inputs["features"]
    make(finetuned, store)
    before = store.get(finetuned.address).file(WEIGHTS).read_bytes()
    _check_inputs(tuned, store)
    drop_file(store.place(finetuned.address), WEIGHTS)
    with pytest.raises(MissingStageError, match="`w2s gc` removed and features of finetuned strong seed 0 reads"):
        _check_inputs(tuned, store)
    make(tuned, store)
    assert store.get(finetuned.address).file(WEIGHTS).read_bytes() == before


@pytest.mark.parametrize("after", ["none", "weak"])
def test_a_probe_on_ground_truth_reads_that_of_the_students_half_and_none_of_the_test_split(
    sweeps: Sweeps, tmp_path: Path, after: str
) -> None:
    """Leak test: the same features, with one split's ground truth turned round; the probe's weights tell."""
    made, store = probe(sweeps(), "truth", after), Store(tmp_path / "as it is")
    make(made["student"], store)
    examples = Examples.read(store.get(made["student"].inputs["examples"].address).file(EXAMPLES))
    before = load_file(store.get(made["student"].address).file(WEIGHTS))["linear.weight"]
    for split in ("weak", "validation", "test", "student"):
        other = Store(tmp_path / split)
        with other.publish(made["student"].inputs["examples"]) as draft:
            turned = np.where(examples.splits == split, 1 - examples.classes, examples.classes)
            Examples(examples.ids, examples.texts, turned, examples.splits, examples.class_names).write(
                draft.path / EXAMPLES
            )
        features = made["student"].inputs["features"]
        (other.root / "stages" / features.address).symlink_to(store.place(features.address))
        make(made["student"], other)
        after_turning = load_file(other.get(made["student"].address).file(WEIGHTS))["linear.weight"]
        assert torch.equal(before, after_turning) == (split != "student")


@pytest.mark.slow
def test_a_sweep_over_probes_trains_each_model_once_and_is_reported_with_five_bars(
    sweeps: Sweeps, tmp_path: Path
) -> None:
    space = {"probe_labels": {"choice": ["weak", "truth"]}, "probe_after": {"choice": ["none", "weak"]}}
    sweep = sweeps(space=space, seeds=[0, 1], search={"trials": 5, "sampler": "grid"}, tracking={"enabled": False})
    (tmp_path / "probes.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    for arguments in (("run", "probes.yaml"), ("report", "probes", "--html", "page.html")):
        command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "w2s-runs/sweeps/probes"
    started = [json.loads(line) for line in (folder / "starts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({one["address"] for one in started}) == len(started)
    kinds = [one["label"].split(" seed ")[0].removesuffix(" strong") for one in started]
    # Of each seed: weak, ceiling, naive student, four probes, and the student's features.
    assert len([kind for kind in kinds if kind.startswith("probe")]) == 8
    assert len([kind for kind in kinds if kind in ("student", "finetuned")]) == 2
    assert len([kind for kind in kinds if kind in ("features of student", "features of finetuned")]) == 2
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for name in ("lp weak", "lp truth", "ft weak", "ft weak, lp truth", "ft truth"):
        assert f">{name}</td>" in page
    assert "Bars of linear probes and finetunings" in page
    assert "its probe learned ground truth, a cheat" in page
