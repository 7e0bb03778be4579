"""Two texts, one label: premise and hypothesis, passage and question, question and a candidate answer, two sentences.

Schemas and numbers of rows are from `dataset_infos.json` of huggingface/datasets (before it dropped them); those of
ETHICS from the script that lm-evaluation-harness had for it. Where candidate answers are rows of their own (MC-TACO,
MultiRC, ETHICS-Virtue), right and wrong ones are kept in equal numbers for each question, as for multiple choice.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from w2s_ray.tasks.points import NO, YES, HubTask, Point, converted, stored, yes_no
from w2s_ray.tasks.single import ETHICS, ETHICS_REVISION

_Row = Mapping[str, Any]
_SUPER_GLUE = "3de24cf8022e94f4ee4b9d55a6f539891524d646"


def anli(row: _Row, file: str) -> Iterator[Point]:
    """Columns: uid, premise, hypothesis, label (0 entailment, 1 neutral, 2 contradiction), reason.

    Neutral is merged with contradiction, as the paper does.
    """
    label = {0: YES, 1: NO, 2: NO}.get(row["label"])
    text = f"{row['premise']}\n\nDoes it follow that: {row['hypothesis']}"
    yield Point(text, label, row["premise"])


def boolq(row: _Row, file: str) -> Iterator[Point]:
    """Columns: question, answer (bool), passage."""
    yield Point(f"{row['passage']}\n\nQuestion: {row['question']}?", yes_no(row["answer"]), row["passage"])


def mctaco(row: _Row, file: str) -> Iterator[Point]:
    """Columns: sentence, question, answer, label (1: plausible), category."""
    question = f"{row['sentence']}\nQuestion: {row['question']}\nAnswer: "
    yield Point(question + row["answer"], yes_no(row["label"]), row["sentence"], question)


def multirc(row: _Row, file: str) -> Iterator[Point]:
    """Columns: paragraph, question, answer, idx {paragraph, question, answer}, label (1: true)."""
    question = f"{row['paragraph']}\n\nQuestion: {row['question']}\nAnswer: "
    yield Point(question + row["answer"], yes_no(row["label"]), row["paragraph"], question)


def paws(row: _Row, file: str) -> Iterator[Point]:
    """Columns: id, sentence1, sentence2, label (1: paraphrase). Pairs made of the same words form a group."""
    text = f"1: {row['sentence1']}\n2: {row['sentence2']}\nDo they mean the same?"
    yield Point(text, yes_no(row["label"]), " ".join(sorted(row["sentence1"].lower().split())))


def wic(row: _Row, file: str) -> Iterator[Point]:
    """Columns: word, sentence1, sentence2, start1, start2, end1, end2, idx, label (1: same sense)."""
    text = f'1: {row["sentence1"]}\n2: {row["sentence2"]}\nDoes "{row["word"]}" mean the same in both?'
    yield Point(text, yes_no(row["label"]), row["word"].lower())


def ethics_deontology(row: _Row, file: str) -> Iterator[Point]:
    """Columns: group_id (counted in each file), label (1: reasonable), scenario, excuse."""
    text = f"{row['scenario']}\n{row['excuse']}\nIs this reasonable?"
    yield Point(text, yes_no(row["label"]), row["scenario"])


def ethics_virtue(row: _Row, file: str) -> Iterator[Point]:
    """Columns: group_id (counted in each file), label (1: the trait shows), scenario, trait; of five, one does."""
    text = f"{row['scenario']}\nDoes this show that the person is {row['trait']}?"
    yield Point(text, yes_no(row["label"]), row["scenario"], row["scenario"])


def ethics_utilitarianism(row: _Row, file: str) -> Iterator[Point]:
    """Columns: activity (the more pleasant), baseline (the less pleasant), rating (empty).

    Each pair is shown in one order and in the other. Variants of a scenario begin alike, so pairs whose first sentence
    is the same form a group.
    """
    better, worse = row["activity"], row["baseline"]
    group = better.partition(".")[0]
    for label, first, second in ((YES, better, worse), (NO, worse, better)):
        text = f"1: {first}\n2: {second}\nIs the first more pleasant than the second?"
        yield Point(text, label, group, f"{better}\n{worse}")


TASKS = (
    HubTask(
        name="anli-r2",
        dataset="facebook/anli",
        revision="8e4813d81f46d313dac7892e1c28076917cfcdf9",
        files=stored("plain_text", "train_r2", "dev_r2", "test_r2"),
        points=anli,
        rows=47_460,
        examples=47_460,
        megabytes=21.9,
        licence="CC-BY-NC-4.0",
        grouped_by="premise",
    ),
    HubTask(
        name="boolq",
        dataset="google/boolq",
        revision="35b264d03638db9f4ce671b711558bf7ff0f80d5",
        files=stored("data", "train", "validation"),
        points=boolq,
        rows=12_697,
        examples=12_697,
        megabytes=7.8,
        licence="CC-BY-SA-3.0",
        grouped_by="passage",
    ),
    HubTask(
        name="mctaco",
        dataset="CogComp/mc_taco",
        revision=None,
        files=converted("plain_text", "test", "validation"),
        points=mctaco,
        rows=13_225,
        examples=13_225,
        megabytes=2.5,
        licence="unknown",
        paired=True,
        grouped_by="sentence",
        note="only commits of the hub's own conversion, refs/convert/parquet, have Parquet files",
    ),
    HubTask(
        name="multirc",
        dataset="aps/super_glue",
        revision=_SUPER_GLUE,
        files=stored("multirc", "train", "validation"),
        points=multirc,
        rows=32_091,
        examples=32_091,
        megabytes=54.0,
        licence="other",
        paired=True,
        grouped_by="paragraph",
    ),
    HubTask(
        name="paws",
        dataset="google-research-datasets/paws",
        revision="161ece9501cf0a11f3e48bd356eaa82de46d6a09",
        files=stored("labeled_final", "train", "validation", "test"),
        points=paws,
        rows=65_401,
        examples=65_401,
        megabytes=16.2,
        licence="free to use",
        grouped_by="words",
    ),
    HubTask(
        name="wic",
        dataset="aps/super_glue",
        revision=_SUPER_GLUE,
        files=stored("wic", "train", "validation"),
        points=wic,
        rows=6_066,
        examples=6_066,
        megabytes=0.7,
        licence="other",
        grouped_by="word",
    ),
    HubTask(
        name="ethics-deontology",
        dataset=ETHICS,
        revision=ETHICS_REVISION,
        files=converted("deontology", "train", "test"),
        points=ethics_deontology,
        rows=21_760,
        examples=21_760,
        megabytes=2.3,
        licence="MIT",
        grouped_by="scenario",
    ),
    HubTask(
        name="ethics-virtue",
        dataset=ETHICS,
        revision=ETHICS_REVISION,
        files=converted("virtue", "train", "test"),
        points=ethics_virtue,
        rows=33_220,
        examples=13_288,
        megabytes=3.1,
        licence="MIT",
        paired=True,
        grouped_by="scenario",
    ),
    HubTask(
        name="ethics-utilitarianism",
        dataset=ETHICS,
        revision=ETHICS_REVISION,
        files=converted("utilitarianism", "train", "test"),
        points=ethics_utilitarianism,
        rows=18_544,
        examples=37_088,
        megabytes=2.9,
        licence="MIT",
        paired=True,
        grouped_by="first sentence",
    ),
)
