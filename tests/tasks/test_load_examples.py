import json
import subprocess
import sys

import pytest

from w2s_ray.spec import Columns, Splits, Task
from w2s_ray.stages.stage import Execution, LoadExamples
from w2s_ray.tasks import fingerprint, hub, load_examples

SPLITS = Splits(weak=20, student=40, validation=20)


def a_table(path, numbers, extra=()):
    lines = [json.dumps({"text": f"text {k}", "label": k % 2, "q": k // 3}) for k in numbers]
    path.write_text("\n".join([*lines, *extra]), encoding="utf-8")
    return str(path)


def load(task: Task):
    source, test_source = fingerprint(task)
    settings = LoadExamples(
        source=source, test_source=test_source, columns=task.columns, splits=task.splits, seed=task.seed
    )
    execution = Execution(source=task.source, revision=task.revision, test_source=task.test_source)
    return load_examples(settings, execution)


def test_a_table_becomes_examples_ordered_by_split_and_a_summary_of_plain_data(tmp_path):
    source = a_table(tmp_path / "t.jsonl", range(800), ['{"text": " ", "label": 1}', '{"text": "text 0", "label": 0}'])
    examples, summary = load(Task(source=source, splits=SPLITS, columns=Columns(group="q")))
    assert json.loads(json.dumps(summary)) == summary
    assert summary["rows"] == 802
    assert summary["dropped"] == {"empty text": 1, "same text again": 1}
    assert summary["dropped_rows"] == {"empty text": ["t.jsonl:801"], "same text again": ["t.jsonl:802"]}
    assert summary["kept"] == sum(summary["splits"].values()) + summary["unused"] == 800
    assert list(dict.fromkeys(examples.splits.tolist())) == ["weak", "student", "validation", "test"]
    assert examples.class_names == ("0", "1")
    assert all(int(text.split()[1]) % 2 == k for text, k in zip(examples.texts, examples.classes, strict=True))


def test_with_a_test_file_all_rows_are_accounted_for(tmp_path):
    source, tests = a_table(tmp_path / "a.jsonl", range(300)), a_table(tmp_path / "b.jsonl", range(280, 400))
    examples, summary = load(Task(source=source, test_source=tests, splits=SPLITS))
    assert summary["rows"] == 420
    assert summary["dropped"] == {"text or group is in the test file": 20}
    assert summary["splits"]["test"] == 120
    assert summary["kept"] == sum(summary["splits"].values()) + summary["unused"]
    assert len(set(examples.texts)) == len(examples.texts)


def test_a_file_that_changed_after_the_plan_is_refused(tmp_path):
    source = a_table(tmp_path / "t.jsonl", range(300))
    task = Task(source=source, splits=SPLITS)
    settings = LoadExamples(source=fingerprint(task)[0], test_source=None, columns=task.columns, splits=SPLITS, seed=0)
    a_table(tmp_path / "t.jsonl", range(301))
    with pytest.raises(ValueError, match="changed after the sweep was planned"):
        load_examples(settings, Execution(source=source))


@pytest.mark.parametrize(
    ("source", "revision", "message"),
    [
        ("movie-review", None, "did you mean 'movie-reviews'"),
        ("minilm", None, "is a model, not a data set"),
        ("./nowhere.csv", None, "is not there"),
        ("./nowhere", None, "must end in one of"),
        ("owner/name", None, "give revision"),
        ("owner/name", "main", "40 hex digits"),
    ],
)
def test_a_source_that_names_nothing_is_told_with_the_mend(source, revision, message):
    with pytest.raises(ValueError, match=message):
        fingerprint(Task(source=source, revision=revision, splits=SPLITS))


def test_a_hub_data_set_is_named_by_configuration_split_and_commit():
    commit = "0" * 40
    task = Task(source="a/b/c:train", test_source="a/b/c:test", revision=commit, splits=SPLITS)
    assert fingerprint(task) == (f"hub:a/b/c:train@{commit}", f"hub:a/b/c:test@{commit}")
    assert hub.parse("a/b") == hub.HubSplit("a/b", None, "train")
    assert hub.parse("a:test") == hub.HubSplit("a", None, "test")
    with pytest.raises(ValueError, match="owner/name/configuration:split"):
        hub.parse("a/b/c/d")


def test_labels_of_a_hub_data_set_have_their_names_and_withheld_ones_are_missing():
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    found = hub.rows_of(data, "o/n", Columns())
    assert [(row.name, row.text, row.label) for row in found] == [
        ("o/n:1", "a", "yes"),
        ("o/n:2", "b", "no"),
        ("o/n:3", "c", None),
    ]
    with pytest.raises(ValueError, match="'sentence' is missing"):
        hub.rows_of(data, "o/n", Columns(text="sentence"))


def test_tasks_need_no_torch_ray_or_mlflow():
    code = "import sys, w2s_ray.tasks, w2s_ray.assets; print({'torch', 'ray', 'mlflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
