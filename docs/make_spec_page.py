"""Writes docs/spec.md, the list of every field of a spec, from the models that check specs.

python docs/make_spec_page.py
"""

import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from w2s_ray.spec import Sweep
from w2s_ray.spec.method import Value

PAGE = Path(__file__).parent / "spec.md"

HEAD = """\
# The spec, field by field

<!-- Made by docs/make_spec_page.py from w2s_ray/spec; change it there. -->

A sweep is one YAML file (YAML 1.2, UTF-8). An unknown key, a value out of range and a name that refers to nothing are
answered with file, line, value and fix before anything starts. A type in braces has a section of its own below; `null`
means none.
"""

SHORT_FORMS = """\
## Short forms

| written | means |
|---|---|
| `methods: [naive, confidence]` | `methods: {naive: {}, confidence: {}}` |
| `pairings: {ladder: [a, b, c]}` | every pair of a smaller and a larger one, with those between as intermediates |
| `seeds: 3` | `seeds: [0, 1, 2]` |
| `objective: weak` | `objective: {labels: weak}` |
| `space: {batch_size: 16}` | `space: {batch_size: {constant: 16}}` |
| `when: {method: confidence}` | `when: {method: [confidence]}` |
| `when: {pairing: a->b}` | `when: {pairing: [a→b]}` |

## Many tasks in one file

`tasks` stands for one sweep a task, alike in everything else and called `NAME-TASK`. Each has a study of its own; all
share the store. `task` beside it holds what the tasks have in common, and a task's own settings win over that, also one
by one within `splits` and `columns`. A task without `source` is the named task of its name.

```yaml
name: paper
task: {splits: {weak: 1000, student: 2000, validation: 500, test: null}, seed: 1}
tasks: [boolq, sciq]                      # paper-boolq and paper-sciq
```

```yaml
name: mine
task: {splits: {weak: 1000, student: 2000, validation: 500, test: null}}
tasks:
  sciq:                                   # mine-sciq, all as above
  reviews: {source: data/reviews.csv, splits: {weak: 500}}
```

`w2s plan`, `run`, `resume`, `status`, `report` and `track` do all of them, by the file or its `name`: a plan has a line
for each and totals; a run does one after another, and what ends one stops no other but makes the exit code 1; a report
sets them side by side and tells the median and the mean PGR over tasks. Each sweep can also be asked for by its own
name. In Python `w2s_ray.spec.yaml.load_all(path).sweeps` are the sweeps, for `w2s_ray.run`.
"""

MEANING: Mapping[str, str] = {
    "Sweep.seeds": "each trains its own weak supervisor, ceiling and student",
    "Sweep.store": "folder of all results, or a bucket's URI; `--store` wins over it",
    "Sweep.space": "parameter to what it may be; see the README for the parameters of each method",
    "Sweep.pairings": "who supervises whom",
    "Sweep.models": "name in this sweep to model",
    "Model.baseline": "of weak supervisor and ceiling in every trial; of students where neither method nor trial says",
    "Pairing.weak": "name of a model",
    "Pairing.strong": "name of a model",
    "Pairing.intermediates": "names of models that a bootstrap chain passes through, smallest first",
    "ResourcePlan.models": "name of a model to what finetuning it asks for",
    "ResourcePlan.features": "for extracting frozen features",
    "ResourcePlan.default": "for everything else",
    "Objective.labels": "whose labels judge a student on the validation split",
    "Search.sampler": "of Optuna",
    "Search.pruner": "when a student is stopped early",
    "Search.seed": "of the sampler",
    "Pruner.kind": "of Optuna",
    "Tracking.enabled": "whether MLflow is written",
    "Tracking.uri": "of MLflow; null: `MLFLOW_TRACKING_URI`, else an sqlite file in the store",
    "Columns.text": "holds the text",
    "Columns.label": "holds one of two classes",
    "Dimension.uniform": "[low, high], real",
    "Dimension.log_uniform": "[low, high], real, searched on a log scale",
    "Dimension.int": "[low, high], both included",
    "Dimension.choice": "two values or more",
    "Dimension.constant": "the same in every trial",
    "Dimension.when": "the trials it exists in",
    "When.method": "names of methods; null: all that understand the parameter",
    "When.pairing": "names of pairings; null: all",
}
"""What fields mean that neither say it themselves nor hold a model whose docstring does."""


def page() -> str:
    """Returns the page."""
    parts = [HEAD]
    for place, model in sections(Sweep):
        title = f"`{place}`" if place else "Top level"
        parts.append(f"## {title}\n\n{docstring(model)}\n\n{table(model)}\n")
    return "\n".join([*parts, SHORT_FORMS])


def sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yields every model of the spec once, with the place where it is met first."""
    seen: set[type[BaseModel]] = set()
    for place, held in _below(model, ""):
        if held not in seen:
            seen.add(held)
            yield place, held


def _below(model: type[BaseModel], place: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield place, model
    for name, field in model.model_fields.items():
        held = held_by(field.annotation)
        if held is not None:
            inner = f"{name}{_index(field.annotation)}"
            yield from _below(held, f"{place}.{inner}" if place else inner)


def _index(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    return ".NAME" if origin is dict else "[]" if origin is tuple else ""


def held_by(annotation: Any) -> type[BaseModel] | None:
    """Returns the model that a field holds, or a mapping or list of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((held for one in typing.get_args(annotation) if (held := held_by(one))), None)


def docstring(model: type[BaseModel]) -> str:
    """Returns the prose of a model's docstring, without its Raises section, on one line."""
    text = (model.__doc__ or "").split("Raises:")[0]
    return " ".join(text.split())


def table(model: type[BaseModel]) -> str:
    """Returns the Markdown table of a model's fields."""
    rows = [_row(model, name, field) for name, field in model.model_fields.items()]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows])


def _row(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    shown = field.alias or name
    cells = (f"`{shown}`", _type(field.annotation) + _bounds(field), _default(field), _meaning(model, shown, field))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _meaning(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    held = held_by(field.annotation)
    text = field.description or MEANING.get(f"{model.__name__}.{name}")
    if text is None and held is not None:
        text = docstring(held).split(". ")[0].rstrip(".")
    if text is None:
        raise LookupError(f"{model.__name__}.{name} has no description; give its Field one, or MEANING here")
    return text


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if set(typing.get_args(Value)) <= set(arguments):
        return "a plain value" + (" or null" if type(None) in arguments else "")
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in arguments))
    if origin is dict:
        return f"name: {_type(arguments[1])}"
    if origin is tuple:
        many = arguments[-1] is Ellipsis
        return f"list of {_type(arguments[0])}" if many else f"[{', '.join(map(_type, arguments))}]"
    if annotation is type(None):
        return "null"
    names: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, "{...}")


def _bounds(field: FieldInfo) -> str:
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(one, name):g}"
        for name, sign in words.items()
        for one in field.metadata
        if getattr(one, name, None) is not None
    ]
    return f", {', '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        changed = value.model_dump(exclude_defaults=True)
        return _plain(changed) if changed else "see below"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "`{" + ", ".join(f"{key}: {_bare(one)}" for key, one in value.items()) + "}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(_bare, value)) + "]`"
    return f"`{_bare(value)}`"


def _bare(value: Any) -> str:
    known = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return known[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
