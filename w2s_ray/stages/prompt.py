"""From a Prompt stage to its predictions: the strong model is asked and not trained (Burns et al., section 5.2.1).

A prompt is the shots, each with its answer, and then the text that is asked about. The text is cut at the model's
`max_length`, the question never. Ground-truth shots come from the weak half, whose truth the weak supervisor learned;
weak ones from the student's half, with the supervisor's hardened labels. So no ground truth of the student's half is
shown. Classes take turns among the shots, drawn by content and seed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s_ray.assets import locate
from w2s_ray.labels import Labels, ground_truth
from w2s_ray.models.answers import answer_probabilities, load_language_model
from w2s_ray.models.load import load_tokenizer
from w2s_ray.relabel.draws import places
from w2s_ray.stages.artifacts import EXAMPLES, Examples, Predictions
from w2s_ray.stages.stage import Prompt, Stage, origin_of
from w2s_ray.stages.store import Store
from w2s_ray.training.evaluate import accuracy

ASKED = ("validation", "test")
TWO_CLASSES = "{text}\nRespond with 1 if this is {positive} and 0 otherwise.\nAnswer:"
SEVERAL_CLASSES = "{text}\nRespond with {classes}.\nAnswer:"


def prompt_stage(stage: Stage, store: Store, device: str) -> tuple[Predictions, dict[str, Any]]:
    """Asks the model about validation and test.

    Returns:
        Predictions, and the summary that also is the only row of the curve, at step 1: `validation_accuracy`, with
        shots `validation_agreement` with the supervisor, and `test_accuracy`.
    """
    settings = stage.settings
    assert isinstance(settings, Prompt)
    examples = Examples.read(store.get(stage.inputs["examples"].address).file(EXAMPLES))
    folder = locate(stage.execution.source, stage.execution.revision)
    tokenizer = load_tokenizer(folder)
    asker = Asker(tokenizer, settings.template, examples.class_names, settings.model.max_length)
    head = [*asker.start, *(asker.shots(*_shots(stage, settings, store, examples)) if settings.shots else ())]
    rows = np.concatenate([examples.rows(split) for split in ASKED])
    prompts = [[*head, *asker.question(examples.texts[row])] for row in rows]
    model = load_language_model(folder)
    probabilities = answer_probabilities(model, prompts, asker.answers, int(tokenizer.pad_token_id), device)
    made = Predictions(examples.ids[rows], examples.splits[rows], probabilities)
    return made, _summary(stage, store, examples, made)


class Asker:
    """Turns texts into token ids by a template, in which `{text}` stands once; answers are the classes' numbers.

    Raises:
        ValueError: the template has not exactly one `{text}`.
    """

    def __init__(self, tokenizer: Any, template: str, class_names: Sequence[str], max_length: int) -> None:
        self._tokenizer, self._max_length = tokenizer, max_length
        classes = ", ".join(f"{number} for {name}" for number, name in enumerate(class_names))
        template = template or (TWO_CLASSES if len(class_names) == 2 else SEVERAL_CLASSES)
        filled = template.replace("{positive}", class_names[-1]).replace("{classes}", classes)
        if filled.count("{text}") != 1:
            raise ValueError(f"the template needs {{text}} exactly once, got {template!r}")
        self._before, self._after = filled.split("{text}")
        begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
        self.start = [int(tokenizer.bos_token_id)] if begins else []  # where the model was trained to see one
        self.answers = [self._ids(f" {number}") for number in range(len(class_names))]

    def question(self, text: str) -> list[int]:
        """Returns the token ids of the template with the text, which is cut at `max_length` tokens."""
        return [*self._ids(self._before), *self._ids(text)[: self._max_length], *self._ids(self._after)]

    def shots(self, texts: Sequence[str], classes: Sequence[int]) -> list[int]:
        """Returns the token ids of answered questions, each followed by an empty line."""
        gap = self._ids("\n\n")
        parts = [
            [*self.question(text), *self.answers[number], *gap] for text, number in zip(texts, classes, strict=True)
        ]
        return [token for part in parts for token in part]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def choose_shots(labels: Labels, count: int, seed: int) -> Labels:
    """Returns `count` labels drawn by content and seed, classes in turn as long as each has some left."""
    order = np.argsort(places(labels.ids, f"shot {seed}"), kind="stable")
    turn: dict[int, int] = {}
    turns = np.empty(len(order), dtype=np.int64)  # how many of its class come before
    for row in order.tolist():
        turns[row] = turn.get(int(labels.classes[row]), 0)
        turn[int(labels.classes[row])] = int(turns[row]) + 1
    first = order[np.argsort(turns[order], kind="stable")][:count]
    return labels.of(labels.ids[first])


def _shots(stage: Stage, settings: Prompt, store: Store, examples: Examples) -> tuple[list[str], list[int]]:
    if settings.shot_labels == "truth":
        rows = examples.rows("weak")
        known = ground_truth(examples.ids[rows], examples.classes[rows], len(examples.class_names))
    else:
        weak = stage.inputs["labels"]
        given = store.get(weak.address).predictions().of("student")
        known = Labels(given.ids, given.probabilities, origin_of(weak))
    chosen = choose_shots(known, settings.shots, settings.seed)
    place = {name: row for row, name in enumerate(examples.ids.tolist())}
    return [examples.texts[place[name]] for name in chosen.ids.tolist()], chosen.classes.tolist()


def _summary(stage: Stage, store: Store, examples: Examples, made: Predictions) -> dict[str, Any]:
    summary: dict[str, Any] = {"step": 1}
    for split in ASKED:
        summary[f"{split}_accuracy"] = accuracy(made.of(split).probabilities, examples.classes[examples.rows(split)])
    if "labels" in stage.inputs:
        weak = store.get(stage.inputs["labels"].address).predictions().of("validation")
        classes = Labels(weak.ids, weak.probabilities, "").of(made.of("validation").ids).classes
        summary["validation_agreement"] = accuracy(made.of("validation").probabilities, classes)
    return summary
