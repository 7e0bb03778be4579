"""A task from its source to stored examples, and what identifies its bytes."""

from collections import Counter
from typing import Any

import numpy as np

from w2s_ray.assets import ASSETS, asset_fingerprint, fetch, is_local
from w2s_ray.spec.problems import did_you_mean
from w2s_ray.spec.task import Columns, Task
from w2s_ray.stages.artifacts import Examples
from w2s_ray.stages.stage import Execution, LoadExamples
from w2s_ray.tasks import code, hub, public, sentiment, table
from w2s_ray.tasks.clean import Dropped, Example, classes_of, clean, summary_of
from w2s_ray.tasks.difficulty import borders_of
from w2s_ray.tasks.row import Row
from w2s_ray.tasks.split import split


def fingerprint(task: Task) -> tuple[str, str | None]:
    """Returns what identifies the content of the source and of the test source. Downloads nothing, calls a function.

    Raises:
        ValueError: one of them names nothing, no commit pins it, or it does not tell the difficulty that is asked for.
    """
    _check_difficulty(task)
    test = None if task.test_source is None else _fingerprint(task.test_source, task.revision, task.columns)
    return _fingerprint(task.source, task.revision, task.columns), test


def prefetch(source: str, revision: str | None) -> None:
    """Downloads what a named task is read from, so that progress and errors are seen before anything starts.

    Raises:
        AssetError: it cannot be had.
    """
    if source in sentiment.SETS:
        fetch(source)
    elif source in public.TASKS:
        public.download(source, revision)


def load_examples(settings: LoadExamples, execution: Execution) -> tuple[Examples, dict[str, Any]]:
    """Reads, cleans and splits a task.

    Returns:
        The examples, ordered by split and then by hash, and a summary as plain data: `rows` that were read, `kept`
        after cleaning, `dropped` and the first `dropped_rows` by reason, `unused` ones that no split asked for,
        examples of each of the `splits`, `class_names`, `classes` of each split, and where easy ends and hard begins
        if the task tells them apart.

    Raises:
        ValueError: a source is malformed, changed since the sweep was planned, or holds too few examples.
        AssetError: a source cannot be downloaded.
    """
    rows = _verified_rows(execution.source, settings.source, execution.revision, settings)
    test_rows: list[Row] | None = None
    if execution.test_source is not None:
        test_rows = _verified_rows(execution.test_source, str(settings.test_source), execution.revision, settings)
    dropped = Dropped()
    classes = classes_of(rows, settings.classes)
    examples = clean(rows, classes, dropped)
    tests = None if test_rows is None else clean(test_rows, classes, dropped)
    borders = None if settings.difficulty is None else borders_of(examples, classes, settings.difficulty)
    splits = split(examples, classes, settings.splits, settings.seed, tests, dropped, settings.balance, borders)
    summary = _summary(len(rows) + len(test_rows or ()), splits, classes, dropped)
    return _stored(splits, classes), summary if borders is None else {**summary, "difficulty": borders.summary()}


def _check_difficulty(task: Task) -> None:
    asked = None if task.difficulty is None else task.difficulty.by
    sources = [source for source in (task.source, task.test_source) if source is not None]
    for source in sources if asked == "rating" else ():
        if source not in sentiment.SETS:
            known = ", ".join(sentiment.SETS)
            raise ValueError(
                f"task.difficulty.by: rating is told by {known} alone, not by {source!r}; use column or length"
            )
    for source in sources if asked == "column" else ():
        if source in sentiment.SETS or source in public.TASKS:
            fix = "rating or length" if source in sentiment.SETS else "length"
            raise ValueError(f"task.difficulty.by: {source!r} has no column for it; use {fix}")


def _verified_rows(source: str, expected: str, revision: str | None, settings: LoadExamples) -> list[Row]:
    """Returns the rows of a source, which must still be what was planned."""
    columns = settings.columns
    if _is_code(source, revision):
        rows = code.read(source, columns)
        if code.fingerprint(rows) != expected:
            raise ValueError(
                f"{source} returned other rows than when the sweep was planned; it must not depend on chance"
            )
        return rows
    if _fingerprint(source, revision, columns) != expected:
        raise ValueError(f"{source} changed after the sweep was planned; run the sweep again")
    if source in sentiment.SETS:
        names = settings.classes if isinstance(settings.classes, tuple) else ()
        return sentiment.read(source, neutral="neutral" in names)
    if source in public.TASKS:
        return public.read(source, revision)
    if table.is_table(source):
        return table.read(source, columns)
    return hub.read(source, revision, columns)


def _fingerprint(source: str, revision: str | None, columns: Columns) -> str:
    if source in sentiment.SETS:
        return asset_fingerprint(source)
    if source in public.TASKS:
        return public.fingerprint(source, revision)
    if source in ASSETS:
        raise ValueError(f"{source!r} is a model, not a data set; known: {', '.join(sentiment.SETS)}; see: w2s tasks")
    if table.is_table(source) or is_local(source):
        return table.fingerprint(source)
    if _is_code(source, revision):
        return code.fingerprint(code.read(source, columns))
    if "/" not in source and revision is None:
        fix = did_you_mean(source, [*sentiment.SETS, *public.TASKS])
        raise ValueError(f"{source!r} is no data set of ours and no file; {fix}; a hub data set needs a revision")
    return hub.fingerprint(source, revision)


def _is_code(source: str, revision: str | None) -> bool:
    return revision is None and code.is_code(source) and not table.is_table(source) and not is_local(source)


def _stored(splits: dict[str, list[Example]], classes: tuple[str, ...]) -> Examples:
    placed = [(name, example) for name, examples in splits.items() for example in examples]
    return Examples(
        ids=np.array([example.id for _, example in placed], dtype=np.str_),
        texts=[example.text for _, example in placed],
        classes=np.array([classes.index(example.label) for _, example in placed], dtype=np.int64),
        splits=np.array([name for name, _ in placed], dtype=np.str_),
        class_names=classes,
    )


def _summary(read: int, splits: dict[str, list[Example]], classes: tuple[str, ...], dropped: Dropped) -> dict[str, Any]:
    kept = read - dropped.counts.total()
    counts = {name: Counter(example.label for example in found) for name, found in splits.items()}
    return {
        "rows": read,
        "kept": kept,
        **summary_of(dropped),
        "splits": {name: len(found) for name, found in splits.items()},
        "unused": kept - sum(map(len, splits.values())),
        "class_names": list(classes),
        "classes": {name: {label: count[label] for label in classes} for name, count in counts.items()},
    }
