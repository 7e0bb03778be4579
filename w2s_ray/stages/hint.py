"""Trivial imitation (Burns et al., appendix E.3): the text itself says what the weak supervisor thinks.

Errors of the supervisor are then perfectly simulable: a student has but to read them, and recovers no gap. The label is
appended wherever there is one, on validation and test too; examples of the weak half have none and stay as they are.
The sentence stands at the end, so `max_length` must leave room for it.
"""

from dataclasses import replace
from typing import Any

from w2s_ray.stages.artifacts import EXAMPLES, Examples, Predictions
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

_SAYS = "{text}\n\nI think this is {word}. What do you think?"


def hint_stage(stage: Stage, store: Store) -> tuple[Examples, dict[str, Any]]:
    """Returns the examples of a Hint stage, altered in their texts alone, and how many were."""
    examples = Examples.read(store.get(stage.inputs["examples"].address).file(EXAMPLES))
    hinted = with_hints(examples, store.get(stage.inputs["labels"].address).predictions())
    changed = sum(a != b for a, b in zip(hinted.texts, examples.texts, strict=True))
    return hinted, {"examples": len(examples.texts), "hinted": changed}


def with_hints(examples: Examples, labels: Predictions) -> Examples:
    """Returns `examples` whose texts end with the most probable class of `labels`, where they have a label.

    Two classes are called incorrect and correct, as in the paper; more by their names.
    """
    words = ("incorrect", "correct") if len(examples.class_names) == 2 else examples.class_names
    said = dict(zip(labels.ids.tolist(), labels.probabilities.argmax(axis=1).tolist(), strict=True))
    texts = [
        _SAYS.format(text=text, word=words[said[name]]) if name in said else text
        for name, text in zip(examples.ids.tolist(), examples.texts, strict=True)
    ]
    return replace(examples, texts=texts)
