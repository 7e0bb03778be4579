import sys

import pytest

from w2s_ray.spec import Columns, Splits, Task
from w2s_ray.stages.stage import Execution, LoadExamples
from w2s_ray.tasks import code, fingerprint, load_examples

SPLITS = Splits(weak=20, student=40, validation=20)
COUNTING = """
import random

def parity():
    for n in range(600):
        yield {"text": f"the number {n}", "label": "even" if n % 2 == 0 else "odd", "group": n // 3}

def by_chance():
    return [{"text": f"{random.random()}", "label": n % 2} for n in range(600)]

def nothing():
    return None

def words():
    return ["one", "two"]
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the folder where the command is called, which is not on Python's path."""
    name = f"tasks_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(COUNTING, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def load(source: str, columns: Columns = Columns(group="group")):  # noqa: B008 - frozen
    task = Task(source=source, splits=SPLITS, columns=columns)
    settings = LoadExamples(source=fingerprint(task)[0], test_source=None, columns=columns, splits=SPLITS, seed=0)
    return load_examples(settings, Execution(source=source))


def test_a_function_that_returns_rows_is_a_task(module):
    before = list(sys.path)
    examples, summary = load(f"{module}:parity")
    assert summary["rows"] == summary["kept"] == 600
    assert examples.class_names == ("even", "odd")
    assert sys.path == before


def test_the_rows_are_what_identifies_it(module):
    rows = code.read(f"{module}:parity", Columns())
    assert code.fingerprint(rows) == code.fingerprint(rows[::-1])
    assert code.fingerprint(rows) != code.fingerprint(rows[:-1])


def test_rows_that_depend_on_chance_are_refused(module):
    with pytest.raises(ValueError, match="returned other rows than when the sweep was planned"):
        load(f"{module}:by_chance", Columns())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no_such_module:rows", "there is no module 'no_such_module'"),
        ("{}:none", "has no function 'none'"),
        ("{}:nothing", "must return rows, got NoneType"),
        ("{}:words", "row 1 must be a dict of columns, got str"),
        ("{}:parity", "'body' is missing"),
    ],
)
def test_a_function_that_cannot_be_used_is_told_why(module, source, message):
    with pytest.raises(ValueError, match=message):
        fingerprint(Task(source=source.format(module), splits=SPLITS, columns=Columns(text="body")))
