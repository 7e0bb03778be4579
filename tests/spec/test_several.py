"""A file with many tasks is one sweep a task, and what is wrong in it is said where it stands."""

import pytest

from w2s_ray.spec import SpecError, yaml

COMMON = """
models:
  small: {source: minilm, depth: 0}
  large: {source: minilm, depth: 2}
pairings: [{weak: small, strong: large}]
methods: [naive]
search: {trials: 1}
"""
LISTED = "name: many\ntask: {splits: {weak: 20, student: 30, validation: 10}, seed: 3}\ntasks: [tweets, editorials]\n"
MAPPED = """name: many
task: {splits: {weak: 20, student: 30, validation: 10}, seed: 3}
tasks:
  tweets:
  mine:
    source: mine.csv
    splits: {student: 40}
    seed: 4
"""


def message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        yaml.parse_all(text + COMMON, "many.yaml")
    return str(caught.value)


def test_listed_tasks_share_everything_and_are_their_own_source() -> None:
    made = yaml.parse_all(LISTED + COMMON)
    assert not made.is_one
    assert [sweep.name for sweep in made.sweeps] == ["many-tweets", "many-editorials"]
    assert [sweep.task.source for sweep in made.sweeps] == ["tweets", "editorials"]
    assert {sweep.task.seed for sweep in made.sweeps} == {3}
    assert len({repr((sweep.models, sweep.methods, sweep.task.splits)) for sweep in made.sweeps}) == 1


def test_a_tasks_own_settings_win_one_by_one() -> None:
    tweets, mine = yaml.parse_all(MAPPED + COMMON).sweeps
    assert (tweets.task.source, tweets.task.splits.student, tweets.task.seed) == ("tweets", 30, 3)
    assert (mine.task.source, mine.task.splits.student, mine.task.splits.weak, mine.task.seed) == (
        "mine.csv",
        40,
        20,
        4,
    )


def test_each_is_the_very_sweep_that_would_be_written_alone() -> None:
    alone = LISTED.replace("name: many", "name: many-tweets").replace("tasks: [tweets, editorials]\n", "")
    alone = alone.replace("task: {", "task: {source: tweets, ")
    assert yaml.parse(alone + COMMON) == yaml.parse_all(LISTED + COMMON).sweeps[0]


def test_a_file_with_one_task_is_read_as_before() -> None:
    text = "name: one\ntask: {source: tweets, splits: {weak: 20, student: 30, validation: 10}}\n" + COMMON
    made = yaml.parse_all(text)
    assert made.is_one
    assert made.sweeps == (yaml.parse(text),)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("student: 40", "student: 0", "many.yaml:7: tasks.mine.splits.student: "),
        ("weak: 20", "weak: 0", "many.yaml:2: task.splits.weak: "),
        ("seed: 4", "sead: 4", "many.yaml:8: tasks.mine.sead: unknown key 'sead'; did you mean 'seed'?"),
        ("  mine:", "  my task:", "many.yaml:5: tasks.my task: 'my task' cannot end the name of a sweep"),
        ("  tweets:", "  tweets: fast", "many.yaml:4: tasks.tweets: the settings of tweets are no mapping"),
        ("name: many\n", "", "name: is required but missing"),
    ],
)
def test_a_mistake_is_said_once_with_its_line(old: str, new: str, said: str) -> None:
    assert MAPPED.count(old) == 1
    found = message(MAPPED.replace(old, new))
    assert said in found
    assert found.count("\n") == 0


def test_a_mistake_in_what_is_common_is_said_once() -> None:
    assert message(LISTED + "seeds: [0, 0]\n").count("twice") == 1


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ("[]", "names no task"),
        ("tweets", "names no task"),
        ("[tweets, tweets]", "tweets is there twice"),
        ("[3]", "3 cannot end the name of a sweep"),
    ],
)
def test_tasks_that_name_nothing_are_answered(tasks: str, said: str) -> None:
    found = message(LISTED.replace("[tweets, editorials]", tasks))
    assert found.startswith("many.yaml:3: tasks")
    assert said in found


def test_a_common_source_does_not_silently_win_over_the_listed_ones() -> None:
    found = message(LISTED.replace("task: {", "task: {source: tweets, "))
    assert found == "many.yaml:2: task.source: tasks listed by name are their own source; remove it"


def test_where_one_sweep_is_asked_for_a_file_of_several_is_refused() -> None:
    with pytest.raises(SpecError, match=r"many.yaml:3: tasks: holds several sweeps.*load_all"):
        yaml.parse(LISTED + COMMON, "many.yaml")
