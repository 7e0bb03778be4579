"""Public sets by name: those of Table 1 of Burns et al. (arXiv 2312.09390), and three more. Read from the hub's files.

An entry (see `points`) names the files and the commit that pins them. They are downloaded by `huggingface_hub` into its
cache and read by `datasets`, as Parquet or JSON lines; a script of the data set is never run, and no network is needed
for files that the cache has. All labelled splits are read and divided anew, so that groups stay together.

Two entries have no commit: no public source that could be read when they were written names one. Their task gives it.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from rich.console import Console

from w2s_ray.assets import AssetError, check_hub_id
from w2s_ray.tasks import choices, pairs, single
from w2s_ray.tasks.points import HubTask, rows_of
from w2s_ray.tasks.row import Row

_ALL = sorted((*choices.TASKS, *pairs.TASKS, *single.TASKS), key=lambda task: task.name)
TASKS: Mapping[str, HubTask] = MappingProxyType({task.name: task for task in _ALL})
"""Every public set by its name."""


def fingerprint(name: str, revision: str | None) -> str:
    """Returns what identifies a set's points, and says what people must know of it. Downloads nothing.

    Args:
        name: of the set.
        revision: a commit to be read instead of the entry's own.

    Raises:
        ValueError: no commit pins it.
    """
    task = TASKS[name]
    commit = _commit(task, revision)
    if task.note:
        Console(stderr=True).print(f"task {name}: {task.note}", soft_wrap=True, markup=False, highlight=False)
    return f"task:{name}/{task.version}:{task.dataset}@{commit}"


def read(name: str, revision: str | None) -> list[Row]:
    """Returns the points of a set as rows.

    Raises:
        ValueError: no commit pins it, or a file has other columns than it should.
        AssetError: a file cannot be downloaded.
    """
    task = TASKS[name]
    commit = _commit(task, revision)
    try:
        return rows_of(task, _rows(task, commit))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        fix = "the formatter is for the commit that w2s tasks --json names"
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{name}: {task.dataset} at {commit} has other columns or values ({what}); {fix}") from error


def download(name: str, revision: str | None) -> None:
    """Downloads the files of a set that the hub's cache lacks. Raises what `read` raises."""
    task = TASKS[name]
    for file in task.files:
        _path(task, file, _commit(task, revision))


def is_cached(task: HubTask) -> bool:
    """Whether all files of a set lie in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    if task.revision is None:
        return False
    found = (try_to_load_from_cache(task.dataset, f, revision=task.revision, repo_type="dataset") for f in task.files)
    return all(isinstance(path, str) for path in found)


def _commit(task: HubTask, revision: str | None) -> str:
    if revision is None and task.revision is None:
        raise ValueError(
            f"{task.name} has no commit of its own: give task.revision, the 40 hex digits that the hub shows under "
            f"'Files and versions' of {task.dataset}, where {task.files[0]} is{'; ' if task.note else ''}{task.note}"
        )
    commit = revision or task.revision
    check_hub_id(task.dataset, commit, "hub data set")
    assert commit is not None
    return commit


def _rows(task: HubTask, commit: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import datasets

    for file in task.files:
        path = _path(task, file, commit)
        for row in datasets.load_dataset(task.form, data_files=path, split="train"):
            yield file, row


def _path(task: HubTask, file: str, commit: str) -> str:
    """Returns where a file lies in the hub's cache; downloads it if it has to."""
    import huggingface_hub

    try:
        return str(huggingface_hub.hf_hub_download(task.dataset, file, revision=commit, repo_type="dataset"))
    except Exception as error:  # an open set: requests, httpx, the hub's own, OSError
        why = (str(error).strip().splitlines() or [""])[0]
        raise AssetError(
            f"{task.name}: {file} of {task.dataset} at {commit} cannot be had: {type(error).__name__}: {why}; "
            f"without the hub, copy a cache that has it to HF_HOME, or use a task that needs none (w2s tasks)"
        ) from error
