"""One file, many tasks: `tasks` stands for one sweep a task, alike in everything else.

    name: paper                                  name: paper
    task: {splits: {...}, seed: 1}               tasks:
    tasks: [boolq, sciq]                           boolq: {splits: {...}}
                                                   reviews: {source: data/reviews.csv, splits: {...}}

The sweeps are called NAME-TASK (`paper-boolq`), each has a study of its own, and all share the store. `task` beside
`tasks` holds what is common; a task's own settings win over it, also one by one within `splits` and `columns`. A task
without `source` is the named task of its name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from w2s_ray.spec.problems import Place, Problem, SpecError
from w2s_ray.spec.sweep import Sweep

TASK, TASKS = "task", "tasks"


@dataclass(frozen=True)
class Several:
    """What a file holds: a sweep that has the file's `name`, or one for each of its tasks, in their order."""

    name: str
    sweeps: tuple[Sweep, ...]

    @property
    def is_one(self) -> bool:
        """Whether the file holds a sweep of one `task`."""
        return [sweep.name for sweep in self.sweeps] == [self.name]


def expand(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the data of one sweep for each task of a file's plain `data`, by the task's name.

    Raises:
        SpecError: `tasks` is neither a list of names nor a mapping from names to settings.
    """
    shared = data.get(TASK) or {}
    own = _own_settings(data[TASKS], shared)
    rest = {key: value for key, value in data.items() if key not in (TASK, TASKS)}
    return {
        task: {**rest, **_named(data, task), TASK: _merged({"source": task}, shared, settings)}
        for task, settings in own.items()
    }


def place_in_file(problem: Place, task: str, data: Mapping[str, Any]) -> Place:
    """Returns where a problem of one of the sweeps lies in the file: at the task itself or in what is common."""
    if problem[:1] != (TASK,):
        return problem
    at = (TASKS, list(data[TASKS]).index(task) if isinstance(data[TASKS], list) else task)
    is_common = _reach(data, problem) - 1 > _reach(data, (*at, *problem[1:])) - len(at)
    return problem if is_common else (*at, *problem[1:])


def _own_settings(tasks: Any, shared: Any) -> dict[str, Any]:
    form = "list the tasks, as in [boolq, sciq], or map each name to its settings"
    if not isinstance(tasks, list | dict) or not tasks:
        raise SpecError([Problem((TASKS,), "names no task", form)])
    if not isinstance(shared, dict):
        raise SpecError([Problem((TASK,), "holds what the tasks have in common", "make it a mapping")])
    if isinstance(tasks, list) and "source" in shared:
        raise SpecError([Problem((TASK, "source"), "tasks listed by name are their own source", "remove it")])
    places = [(index if isinstance(tasks, list) else task, task) for index, task in enumerate(tasks)]
    problems = [Problem((TASKS, place), *wrong) for place, task in places if (wrong := _wrong(task, tasks))]
    if problems:
        raise SpecError(problems)
    return {task: (tasks[task] or {}) if isinstance(tasks, dict) else {} for task in tasks}


def _wrong(task: Any, tasks: Any) -> tuple[str, str] | None:
    if not isinstance(task, str) or not re.fullmatch(r"[A-Za-z0-9._-]+", task):
        return f"{task!r} cannot end the name of a sweep", "use letters, digits, '.', '-' and '_' only"
    if isinstance(tasks, list) and tasks.count(task) > 1:
        return f"{task} is there twice", "remove one"
    if isinstance(tasks, dict) and not isinstance(tasks[task], dict | None):
        return f"the settings of {task} are no mapping", "write them as in {source: ..., splits: ...}"
    return None


def _named(data: Mapping[str, Any], task: str) -> dict[str, str]:
    return {"name": f"{data['name']}-{task}"} if data.get("name") else {}


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers win; mappings in them are merged one level down."""
    made: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(made.get(key), dict)
            made[key] = {**made[key], **value} if both else value
    return made


def _reach(data: Any, place: Place) -> int:
    """Returns how many parts of `place` the file holds."""
    for number, part in enumerate(place):
        keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
        if part not in keys:
            return number
        data = data[part]
    return len(place)
