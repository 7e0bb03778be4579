"""The folder that an export leaves: configuration, safetensors, tokenizer, `w2s_student.py` and a note to its reader.

It is written beside its place and loaded again from there; only if it gives the test predictions that the store has
does it take its place.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from w2s_ray.assets import locate
from w2s_ray.export import w2s_student
from w2s_ray.export.choice import Chosen
from w2s_ray.export.weights import network_of, trained_weights
from w2s_ray.files import from_json
from w2s_ray.models.load import load_tokenizer
from w2s_ray.stages.artifacts import EXAMPLES, Examples
from w2s_ray.stages.stage import Finetune
from w2s_ray.stages.store import Store

CHECKED = 64
"""Test examples on which an export is compared with the store."""

_TOLERANCES = {"float32": 1e-4, "bfloat16": 3e-2}
_CONFIG = "config.json"


class ExportError(RuntimeError):
    """An export does not give the numbers that the sweep measured, or its place is taken."""


def write_folder(chosen: Chosen, place: Path, say: Callable[[str], None]) -> float:
    """Writes a student to `place`; returns by how much its test probabilities differ from the stored ones at most.

    Args:
        chosen: the student.
        place: a folder that is missing, empty, or an earlier export, which is replaced.
        say: told what takes long.

    Raises:
        MissingStageError: the store lacks a stage.
        ExportError: something else is in `place`, or the numbers differ.
    """
    _must_be_free(place)
    store = chosen.record.store
    examples = Examples.read(store.get(chosen.stage.inputs["examples"].address).file(EXAMPLES))
    network = network_of(chosen.stage, trained_weights(chosen.stage, store, say), examples.class_names)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as beside:
        draft = Path(beside) / "student"
        _save(chosen, network, draft)
        difference = _difference(chosen, draft, store, examples)
        (draft / "README.md").write_text(_note(chosen, examples, difference), encoding="utf-8")
        if place.exists():
            place.rename(Path(beside) / "before")
        draft.rename(place)
    return difference


def _must_be_free(place: Path) -> None:
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    try:
        found = from_json((place / _CONFIG).read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        found = None
    if found != w2s_student.StudentConfig.model_type:
        raise ExportError(f"{place} holds something else; name another folder with --to")


def _save(chosen: Chosen, network: Any, draft: Path) -> None:
    network.save_pretrained(draft)
    shutil.copy(w2s_student.__file__, draft)
    path = draft / _CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    config["auto_map"] = {
        "AutoConfig": "w2s_student.StudentConfig",
        "AutoModelForSequenceClassification": "w2s_student.StudentForSequenceClassification",
    }
    config["w2s_stage"] = chosen.stage.address
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    execution = chosen.stage.execution
    tokenizer = load_tokenizer(locate(execution.source, execution.revision))
    tokenizer.model_max_length, tokenizer.padding_side = network.config.max_tokens, "right"
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(draft)


def _difference(chosen: Chosen, folder: Path, store: Store, examples: Examples) -> float:
    """Loads the folder as its reader will, and compares."""
    predictions = store.get(chosen.stage.address).predictions().of("test")
    place = {name: row for row, name in enumerate(examples.ids.tolist())}
    some = np.linspace(0, len(predictions.ids) - 1, min(CHECKED, len(predictions.ids))).astype(int)
    texts = [examples.texts[place[name]] for name in predictions.ids[some].tolist()]
    model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    served = model.classify(texts, tokenizer).numpy()
    difference = float(np.abs(served - predictions.probabilities[some]).max())
    settings = chosen.stage.settings
    assert isinstance(settings, Finetune)
    if not difference <= max(_TOLERANCES[one] for one in (model.config.precision, model.config.head_precision)):
        raise ExportError(
            f"the exported student of {chosen.label} differs by {difference:.2g} from the stored test predictions, so "
            "nothing was written. If its weights had to be trained again, do that where the sweep ran"
        )
    return difference


def _note(chosen: Chosen, examples: Examples, difference: float) -> str:
    record, trial = chosen.record, chosen.trial
    summary = record.store.get(chosen.stage.address).record.summary
    settings = ", ".join(f"{name} {value}" for name, value in trial.params.items())
    return f"""# {trial.strong}, taught by {trial.weak}

The student of {chosen.label} of the sweep {record.sweep.name}, on {record.sweep.task.source}. Method {trial.method}
with {settings or "its defaults"}. Classes: {", ".join(examples.class_names)}. Test accuracy
{summary["test_accuracy"]:.4f}. Pretrained weights: {chosen.stage.execution.source}; their licence holds for these too.

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(".", trust_remote_code=True)  # runs w2s_student.py
tokenizer = AutoTokenizer.from_pretrained(".")
print(model.config.id2label, model.classify(["a text", "another"], tokenizer))
```

With w2s_ray installed, `import w2s_ray.export.w2s_student` first and leave `trust_remote_code` out. On
{min(CHECKED, len(examples.rows("test")))} test examples it gave the sweep's probabilities to within {difference:.1g}.
"""
