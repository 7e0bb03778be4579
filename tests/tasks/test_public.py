"""Rows have the true columns of each set at the commit of its entry; where they were verified, its family's file says.

Texts are made up. Files are read as they would be from the hub: they lie in a hub cache, where a pinned file is found
without network.
"""

import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s_ray.assets import AssetError
from w2s_ray.spec import Splits, Task
from w2s_ray.stages.stage import Execution, LoadExamples
from w2s_ray.tasks import fingerprint, load_examples, prefetch, public
from w2s_ray.tasks.points import Point, balanced, rows_of
from w2s_ray.tasks.public import TASKS

LETTERS = {"text": ["ice", "fire", "mud", "tin"], "label": ["A", "B", "C", "D"]}
COSMOS = {"id": "1", "context": "He ran.", "question": "Why?", "answer0": "late", "answer1": "hungry"}
NONE = "None of the above choices ."

ROWS = {
    "amazon-polarity": [{"label": 1, "title": "Great", "content": "It works."}],
    "anli-r2": [
        {"uid": f"{n}", "premise": "A dog ran.", "hypothesis": text, "label": n, "reason": ""}
        for n, text in enumerate(["An animal ran.", "It was late.", "Nothing ran."])
    ],
    "anthropic-hh": [
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Hello! How can I help?",
            "rejected": "\n\nHuman: Hi\n\nAssistant: What.",
        }
    ],
    "boolq": [
        {"question": "is ice cold", "answer": True, "passage": "Ice is cold."},
        {"question": "is ice hot", "answer": False, "passage": "Ice is cold."},
    ],
    "cola": [{"sentence": "They drank the pub dry.", "label": 1, "idx": 3}],
    "cosmos-qa": [
        {**COSMOS, "answer2": NONE, "answer3": "bored", "label": 0},
        {**COSMOS, "question": "When?", "answer2": NONE, "answer3": "bored", "label": 2},
        {**COSMOS, "question": "How?", "answer2": "fast", "answer3": "slow", "label": -1},
    ],
    "dream": [
        {
            "id": 0,
            "dialogue_id": "5-510",
            "dialogue": ["W: Tea?", "M: Coffee."],
            "question": "What does he want?",
            "choice": ["Tea.", "Coffee.", "Milk."],
            "answer": "Coffee.",
        }
    ],
    "ethics-deontology": [
        {"group_id": 0, "label": 1, "scenario": "Could you walk the dog?", "excuse": "But it rains."},
        {"group_id": 0, "label": 0, "scenario": "Could you walk the dog?", "excuse": "But I like it."},
    ],
    "ethics-justice": [
        {"group_id": 0, "label": 1, "scenario": "I paid her because she worked."},
        {"group_id": 0, "label": 0, "scenario": "I paid her because she slept."},
    ],
    "ethics-utilitarianism": [
        {"activity": "I made soup. It was good.", "baseline": "I made soup. It burnt.", "rating": ""}
    ],
    "ethics-virtue": [
        {"group_id": 0, "label": int(trait == "brave"), "scenario": "She went in.", "trait": trait}
        for trait in ("brave", "shy", "cruel", "idle", "vain")
    ],
    "hellaswag": [
        {
            "ind": 4,
            "activity_label": "Cooking",
            "ctx_a": "A man stirs.",
            "ctx_b": "he",
            "ctx": "A man stirs. he",
            "endings": ["tastes it.", "flies.", "sings soup.", "is soup."],
            "source_id": "activitynet~v_x",
            "split": "train",
            "split_type": "indomain",
            "label": "0",
        }
    ],
    "mctaco": [
        {"sentence": "He slept.", "question": "How long?", "answer": answer, "label": label, "category": 0}
        for answer, label in (("8 hours", 1), ("7 hours", 1), ("9 years", 0))
    ],
    "multirc": [
        {
            "paragraph": "Ann met Bo.",
            "question": "Who met?",
            "answer": answer,
            "idx": {"paragraph": 0, "question": 0, "answer": n},
            "label": label,
        }
        for n, (answer, label) in enumerate((("Ann", 1), ("Cid", 0), ("Dan", 0)))
    ],
    "openbookqa": [{"id": "7-980", "question_stem": "Which is cold?", "choices": LETTERS, "answerKey": "A"}],
    "paws": [
        {"id": 1, "sentence1": "Ann met Bo", "sentence2": "Bo met Ann", "label": 0},
        {"id": 2, "sentence1": "Bo met Ann", "sentence2": "Ann met Bo", "label": 1},
    ],
    "piqa": [
        {"goal": "Cool a drink", "sol1": "add ice", "sol2": "add fire", "label": 0},
        {"goal": "Heat a drink", "sol1": "add ice", "sol2": "use fire", "label": -1},
    ],
    "quail": [
        {
            "id": "f001_0",
            "context_id": "f001",
            "question_id": "0",
            "domain": "fiction",
            "metadata": {"author": "A", "title": "T", "url": "u"},
            "context": "It was dark.",
            "question": "Was it night?",
            "question_type": "Temporal_order",
            "answers": ["not enough information", "yes", "no", "noon"],
            "correct_answer_id": 1,
        }
    ],
    "quartz": [
        {
            "id": "QRQA-10385-4",
            "question": "More ice means it is",
            "choices": {"text": ["colder", "hotter"], "label": ["A", "B"]},
            "answerKey": "A",
            "para": "Ice cools.",
            "para_id": "QRSent-10385",
            "para_anno": {"cause_prop": "ice"},
            "question_anno": {"more_effect_dir": "more"},
        }
    ],
    "sciq": [
        {
            "question": "What is cold?",
            "distractor3": "tin",
            "distractor1": "fire",
            "distractor2": "mud",
            "correct_answer": "ice",
            "support": "Ice is frozen water.",
        },
    ],
    "social-i-qa": [
        {
            "context": "Jo cried.",
            "question": "Why?",
            "answerA": "sad",
            "answerB": "tall",
            "answerC": "blue",
            "label": "1",
        }
    ],
    "sst2": [{"sentence": "a fine film ", "label": 1, "idx": 0}],
    "twitter-sentiment": [{"text": "love it", "label": 1}, {"text": "hate it", "label": 0}],
    "wic": [
        {
            "word": "bank",
            "sentence1": "A river bank.",
            "sentence2": "A bank for money.",
            "start1": 8,
            "start2": 2,
            "end1": 12,
            "end2": 6,
            "idx": 0,
            "label": 0,
        }
    ],
}
ROWS["sciq-with-support"] = [*ROWS["sciq"], {**ROWS["sciq"][0], "question": "What else?", "support": " "}]

MULTIPLE_CHOICE = [
    "cosmos-qa", "dream", "hellaswag", "openbookqa", "piqa", "quail", "quartz", "sciq", "sciq-with-support",
    "social-i-qa",
]  # fmt: skip
RIGHT = {
    "cosmos-qa": "late", "dream": "Coffee.", "hellaswag": "tastes it.", "openbookqa": "ice", "piqa": "add ice",
    "quail": "yes", "quartz": "colder", "sciq": "ice", "sciq-with-support": "ice", "social-i-qa": "sad",
}  # fmt: skip


def points(name: str) -> list[Point]:
    return [point for row in ROWS[name] for point in TASKS[name].points(row, "train.parquet")]


def rows(name: str):
    return rows_of(TASKS[name], [("train.parquet", row) for row in ROWS[name]])


def test_all_sets_of_the_papers_table_and_three_more_are_there():
    assert len(TASKS) == 25
    assert set(ROWS) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_an_entry_is_pinned_or_asks_for_its_commit(name):
    task = TASKS[name]
    if task.revision is None:
        with pytest.raises(ValueError, match=r"give task\.revision, the 40 hex digits"):
            public.fingerprint(name, None)
        assert public.fingerprint(name, "0" * 40).endswith(f"{task.dataset}@{'0' * 40}")
    else:
        assert re.fullmatch("[0-9a-f]{40}", task.revision)
    assert all(file.endswith((".parquet", ".jsonl.gz")) for file in task.files)
    assert task.paired == any(point.question for point in points(name))


@pytest.mark.parametrize("name", MULTIPLE_CHOICE)
def test_a_question_becomes_one_right_and_one_wrong_point_in_one_group(name):
    right, wrong = sorted(rows(name), key=lambda row: row.label, reverse=True)
    assert [right.label, wrong.label] == ["yes", "no"]
    assert right.text.endswith(RIGHT[name])
    assert not wrong.text.endswith((RIGHT[name], NONE))
    assert right.group == wrong.group is not None


@pytest.mark.parametrize("name", ["mctaco", "multirc", "ethics-virtue"])
def test_answers_in_rows_of_their_own_are_kept_in_equal_numbers(name):
    kept = rows(name)
    assert sorted(row.label for row in kept) == ["no", "yes"]
    assert len({row.group for row in kept}) == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("amazon-polarity", ["yes"]),
        ("anli-r2", ["yes", "no", "no"]),
        ("boolq", ["yes", "no"]),
        ("cola", ["yes"]),
        ("ethics-deontology", ["yes", "no"]),
        ("ethics-justice", ["yes", "no"]),
        ("ethics-utilitarianism", ["yes", "no"]),
        ("paws", ["no", "yes"]),
        ("sst2", ["yes"]),
        ("wic", ["no"]),
    ],
)
def test_a_label_means_what_the_question_asks(name, labels):
    assert [point.label for point in points(name)] == labels


@pytest.mark.parametrize("name", ["anli-r2", "boolq", "ethics-deontology", "ethics-justice", "paws"])
def test_points_that_share_premise_passage_or_words_are_one_group(name):
    groups = {point.group for point in points(name)}
    assert len(groups) == 1
    assert None not in groups


def test_a_pair_is_shown_in_both_orders():
    first, second = (point.text.split("\n")[:2] for point in points("ethics-utilitarianism"))
    assert first == ["1: I made soup. It was good.", "2: I made soup. It burnt."]
    assert [line[3:] for line in second] == [line[3:] for line in first][::-1]


def test_group_numbers_of_two_files_are_not_the_same_group():
    row = ROWS["ethics-justice"][0]
    groups = {point.group for file in ("train", "test") for point in TASKS["ethics-justice"].points(row, file)}
    assert len(groups) == 2


def test_which_wrong_answer_is_kept_does_not_depend_on_the_order():
    made = [Point(f"Q: {n}", "yes" if n == 0 else "no", "g", "Q") for n in range(5)]
    assert set(balanced(made)) == set(balanced(made[::-1]))
    assert [point.label for point in balanced(made)] == ["yes", "no"]


def test_withheld_labels_give_no_class():
    row = {**ROWS["cola"][0], "label": -1}
    assert [point.label for point in TASKS["cola"].points(row, "x")] == [None]


def test_single_replies_come_with_a_warning(capsys):
    public.fingerprint("anthropic-hh", None)
    assert "task anthropic-hh: one reply alone" in capsys.readouterr().err
    public.fingerprint("boolq", None)
    assert capsys.readouterr().err == ""


def into_cache(cache, task, file: str, many: list[dict]) -> None:
    """Lays a file where huggingface_hub keeps a pinned download."""
    folder = cache / f"datasets--{task.dataset.replace('/', '--')}" / "snapshots" / task.revision
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    if task.form == "json":
        lines = "".join(json.dumps(row) + "\n" for row in many)
        (folder / file).write_bytes(gzip.compress(lines.encode()))
    else:
        pq.write_table(pa.Table.from_pylist(many), folder / file)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "arrow"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ["amazon-polarity", "anli-r2", "dream", "multirc", "openbookqa", "quail"])
def test_pinned_files_are_read_by_datasets_nested_columns_included(name, cache):
    task = TASKS[name]
    for file in task.files:
        into_cache(cache, task, file, ROWS[name])
    assert public.is_cached(task)
    read = public.read(name, None)
    # The same rows lie in each file, and a point that occurs again in its question is one point.
    assert {(row.text, row.label, row.group) for row in read} == {
        (row.text, row.label, row.group) for row in rows(name)
    }


def test_compressed_json_lines_are_read_too(cache):
    many = [{key: f"{n} {text}" for key, text in ROWS["anthropic-hh"][0].items()} for n in range(100)]
    for file in TASKS["anthropic-hh"].files:
        into_cache(cache, TASKS["anthropic-hh"], file, many)
    labels = [row.label for row in public.read("anthropic-hh", None)]
    assert labels.count("yes") == labels.count("no")
    assert 10 < labels.count("yes") < 45, "a quarter of the prompts"


def test_a_public_set_becomes_examples_whose_questions_stay_in_one_split(cache):
    task = TASKS["openbookqa"]
    many = [{**ROWS["openbookqa"][0], "question_stem": f"Which is cold, number {n}?"} for n in range(400)]
    for place, file in enumerate(task.files):
        into_cache(cache, task, file, many[place::3])
    spec = Task(source="openbookqa", splits=Splits(weak=40, student=80, validation=40, test=80))
    settings = LoadExamples(
        source=fingerprint(spec)[0], test_source=None, columns=spec.columns, splits=spec.splits, seed=0
    )
    examples, summary = load_examples(settings, Execution(source="openbookqa"))
    assert json.loads(json.dumps(summary["classes"]["student"])) == {"no": 40, "yes": 40}
    where: dict[str, set[str]] = {}
    for text, split in zip(examples.texts, examples.splits, strict=True):
        where.setdefault(text.split("\n")[0], set()).add(str(split))
    assert all(len(splits) == 1 for splits in where.values())


def test_other_columns_than_the_formatter_knows_are_told(cache):
    task = TASKS["boolq"]
    for file in task.files:
        into_cache(cache, task, file, [{"query": "is ice cold", "label": 1}])
    with pytest.raises(ValueError, match=r"boolq: google/boolq at 35b264.* has other .* \(KeyError: 'passage'\)"):
        public.read("boolq", None)


def test_a_file_that_cannot_be_had_is_named(cache):
    assert not public.is_cached(TASKS["boolq"])
    with pytest.raises(AssetError, match="cannot be had"):
        prefetch("boolq", None)
    with pytest.raises(AssetError, match=r"boolq: data/train-00000-of-00001\.parquet of google/boolq .* cannot be had"):
        public.read("boolq", None)
