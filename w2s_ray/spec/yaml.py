"""A sweep from and to YAML 1.2, with the line of every problem.

YAML 1.2 (ruamel) reads `1e-3` as a number; YAML 1.1 would make it a string. Nothing but plain data is built from a
file, whatever tags it holds, and a key given twice is an error. A file with `tasks` holds several sweeps (`several`).
"""

import dataclasses
import io
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from w2s_ray.spec.cluster import Cluster
from w2s_ray.spec.problems import Place, Problem, SpecError, did_you_mean
from w2s_ray.spec.several import TASK, TASKS, Several, expand, place_in_file
from w2s_ray.spec.sweep import Sweep

_LARGEST = 1 << 20  # bytes; a sweep by hand is a few thousand
_MOST = 1 << 20  # values, where aliases multiply them; each of a few characters, as in a file of the largest size
_Model = TypeVar("_Model", bound=BaseModel)


def load(path: str | Path) -> Sweep:
    """Reads and checks a sweep.

    Raises:
        SpecError: the file cannot be read, is no YAML mapping, or holds a sweep that cannot run.
    """
    return parse(_text(Path(path)), str(path))


def parse(text: str, file: str = "<text>") -> Sweep:
    """Checks the sweep written in `text`; `file` is named in messages. Raises SpecError."""
    tree = _tree(text, file)
    if TASKS in tree:
        told = Problem((TASKS,), "holds several sweeps, one a task", "read them with load_all")
        raise SpecError([_located(told, tree, file)])
    return _checked(Sweep, tree, file)


def load_cluster(path: str | Path) -> Cluster:
    """Reads and checks the file of a cluster to plan on. Raises as `load`."""
    tree = _tree(_text(Path(path)), str(path), "a cluster", "nodes", "cluster/plan_aws.yaml")
    if "nodes" not in tree and {"available_node_types", "apiVersion"} & set(tree):
        mend = "name one with nodes and their prices, as cluster/plan_aws.yaml; `w2s doctor --cluster` takes this one"
        raise SpecError([Problem((), "starts a cluster, and is not for planning on one", mend, str(path))])
    return _checked(Cluster, tree, str(path))


def load_data(path: str | Path, what: str, first: str, example: str) -> dict[str, Any]:
    """Reads a file of another program's as plain data, with the limits of a sweep's.

    Args:
        path: of the file.
        what: it is, as in "a cluster".
        first: its first key.
        example: a file of that kind.

    Raises:
        SpecError: it cannot be read, is no YAML mapping, or stands for far more than it holds.
    """
    data: dict[str, Any] = _plain(_tree(_text(Path(path)), str(path), what, first, example))
    return data


def _checked(model: type[_Model], tree: CommentedMap, file: str) -> _Model:
    try:
        return model.model_validate(_plain(tree))
    except ValidationError as error:
        raise SpecError(_located(problem, tree, file) for problem in _problems(error, model)) from None


def load_all(path: str | Path) -> Several:
    """Reads and checks a file that holds a sweep, or several as `tasks`. Raises as `load`."""
    return parse_all(_text(Path(path)), str(path))


def parse_all(text: str, file: str = "<text>") -> Several:
    """Checks the sweep or the sweeps written in `text`; `file` is named in messages. Raises SpecError."""
    tree = _tree(text, file)
    if TASKS not in tree:
        sweep = parse(text, file)
        return Several(sweep.name, (sweep,))
    data, sweeps, found = _plain(tree), list[Sweep](), list[Problem]()
    try:
        by_task = expand(data)
    except SpecError as error:
        raise SpecError(_located(problem, tree, file) for problem in error.problems) from None
    for task, of_task in by_task.items():
        try:
            sweeps.append(Sweep.model_validate(of_task))
        except ValidationError as error:
            for problem in _problems(error):
                moved = dataclasses.replace(problem, place=place_in_file(problem.place, task, data))
                found.append(_located(moved, tree, file))
    if found:
        raise SpecError(dict.fromkeys(found))  # what is common is wrong once
    return Several(str(data["name"]), tuple(sweeps))


def dump(sweep: Sweep) -> str:
    """Writes a sweep as YAML that `parse` reads back to an equal one."""
    return _written(_data(sweep))


def dump_all(several: Several) -> str:
    """Writes the sweep or the sweeps of a file as YAML that `parse_all` reads back to equal ones."""
    if several.is_one:
        return dump(several.sweeps[0])
    common = {key: value for key, value in _data(several.sweeps[0]).items() if key not in ("name", TASK)}
    tasks = {one.name.removeprefix(f"{several.name}-"): _data(one)[TASK] for one in several.sweeps}
    return _written({"name": several.name, TASKS: tasks, **common})


def _data(sweep: Sweep) -> dict[str, Any]:
    return sweep.model_dump(mode="json", by_alias=True, exclude_none=True)


def _written(data: dict[str, Any]) -> str:
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(data, stream)
    return stream.getvalue()


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError([Problem((), f"cannot be read ({error.strerror})", "check the path", str(path))]) from None
    if len(data) > _LARGEST:
        raise SpecError(
            [
                Problem(
                    (),
                    f"is {len(data)} bytes, too large for a sweep or a cluster",
                    "is this the right file?",
                    str(path),
                )
            ]
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem((), f"is not UTF-8 text at byte {error.start}", "save it as UTF-8", str(path))]
        ) from None


def _tree(
    text: str, file: str, what: str = "a sweep", first: str = "name", example: str = "sweeps/quickstart.yaml"
) -> CommentedMap:
    try:
        tree = YAML(typ="rt", pure=True).load(text)
        if _size(tree, {}) > _MOST:
            raise ValueError(f"its aliases stand for more than {_MOST} values")
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        message = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise SpecError(
            [Problem((), f"not valid YAML: {message}", "check indentation and quotes", file, line)]
        ) from None
    except Exception as error:  # on broken text the parser also fails in ways it does not declare: a KeyError, say
        message = next(iter(str(error).splitlines()), type(error).__name__)
        raise SpecError([Problem((), f"not valid YAML: {message}", "check indentation and quotes", file)]) from None
    if not isinstance(tree, CommentedMap):
        raise SpecError([Problem((), f"{what} is a mapping that starts with '{first}:'", f"see {example}", file, 1)])
    return tree


def _size(node: Any, known: dict[int, int]) -> int:
    """Returns how many values a node holds once aliases are written out; counts each node once, however often named."""
    if not isinstance(node, CommentedMap | CommentedSeq):
        return 1
    if id(node) not in known:
        known[id(node)] = 0  # one that holds itself
        inner = node.values() if isinstance(node, CommentedMap) else node
        known[id(node)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(node)]


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    return next((kind(node) for kind in (int, float, str) if isinstance(node, kind)), node)


def _problems(error: ValidationError, model: type[BaseModel] = Sweep) -> list[Problem]:
    found: list[Problem] = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, SpecError):
            found.extend(cause.problems)
        else:
            found.append(_problem(tuple(item["loc"]), item["type"], item["msg"], item["input"], model))
    return list({(problem.place, problem.message): problem for problem in found}.values())


def _problem(place: Place, kind: str, message: str, value: Any, model: type[BaseModel]) -> Problem:
    if kind == "extra_forbidden":
        return Problem(place, f"unknown key {place[-1]!r}", did_you_mean(str(place[-1]), _fields_at(model, place[:-1])))
    if kind == "missing":
        return Problem(place, "is required but missing", f"add {place[-1]}: ...")
    text = message.removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    return Problem(place, f"{text}, got {value!r}" if not isinstance(value, dict) else text)


def _fields_at(top: type[BaseModel], place: Place) -> list[str]:
    """The keys that a spec has at `place`; walks annotations, where mappings and tuples lead to their values."""
    model: Any = top
    for part in place:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = _model_in(fields[part].annotation)
        # A key of a mapping or an index of a list: the annotation was already followed to the value's model.
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]


def _model_in(annotation: Any) -> Any:
    if hasattr(annotation, "model_fields"):
        return annotation
    inner = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)


def _located(problem: Problem, tree: CommentedMap, file: str) -> Problem:
    """Adds the line of the deepest part of the place that the file holds; drops parts that pydantic put in."""
    node: Any = tree
    line, place = 1, []
    for part in problem.place:
        if isinstance(node, CommentedMap) and part in node:
            line, node = _line_of(node, part) or line, node[part]
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line, node = node.lc.item(part)[0] + 1, node[part]
        elif part is not problem.place[-1] or str(part) in ("float", "int", "str", "bool"):
            continue
        place.append(part)
    return Problem(tuple(place), problem.message, problem.fix, file, line)


def _line_of(node: CommentedMap, key: str | int) -> int | None:
    """Returns the line of a key; of one that `<<` brings in, its line where that was written."""
    if key in (node.lc.data or {}):
        return int(node.lc.key(key)[0]) + 1
    # ruamel 0.18 has pairs of place and mapping here, 0.19 the mappings.
    merged = (source[1] if isinstance(source, tuple) else source for source in node.merge)
    return next((line for source in merged if key in source and (line := _line_of(source, key))), None)
