"""Multiple choice: a question, one right answer and several wrong ones in each row.

Each row becomes one right and one wrong point. Schemas and numbers of rows are those of the hub's own descriptions of
these sets (`dataset_infos.json`, in huggingface/datasets before it dropped them); commits and file names were found in
public code that reads these very files. A commit of the `refs/convert/parquet` branch is one where the hub turned a
script's output into Parquet; such sets exist only as a script otherwise.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from w2s_ray.tasks.points import HubTask, Point, answers, converted, stored

_Row = Mapping[str, Any]
_NONE_OF_THEM = "none of the above choices"


def cosmos_qa(row: _Row, file: str) -> Iterator[Point]:
    """Columns: id, context, question, answer0 to answer3, label (0 to 3).

    Where "None of the above choices ." is right, whether it is depends on answers that a point does not show, so such a
    question is left out, and this answer is never a wrong one either.
    """
    choices = [row[f"answer{place}"] for place in range(4)]
    right = choices[row["label"]] if 0 <= row["label"] < 4 else _NONE_OF_THEM
    if _NONE_OF_THEM not in right.lower():
        wrong = [choice for choice in choices if choice != right and _NONE_OF_THEM not in choice.lower()]
        question = f"{row['context']}\nQuestion: {row['question']}\nAnswer: "
        yield from answers(question, [right], wrong, row["context"])


def dream(row: _Row, file: str) -> Iterator[Point]:
    """Columns: id, dialogue_id, dialogue (list), question, choice (list), answer (the text of one of them)."""
    dialogue = "\n".join(row["dialogue"])
    right = row["choice"].index(row["answer"])
    yield from _one_of(f"{dialogue}\n\nQuestion: {row['question']}\nAnswer: ", row["choice"], right, dialogue)


def hellaswag(row: _Row, file: str) -> Iterator[Point]:
    """Columns: ind, activity_label, ctx_a, ctx_b, ctx, endings (list), source_id, split, split_type, label.

    The label is "0" to "3". Contexts with one `source_id` are from the same video or article.
    """
    question = f"{row['activity_label']}: {row['ctx']} "
    yield from _one_of(question, row["endings"], int(row["label"] or -1), row["source_id"])


def openbookqa(row: _Row, file: str) -> Iterator[Point]:
    """Columns: id, question_stem, choices {text (list), label (list)}, answerKey ("A" to "D")."""
    yield from _by_key(f"Question: {row['question_stem']}\nAnswer: ", row, row["question_stem"])


def piqa(row: _Row, file: str) -> Iterator[Point]:
    """Columns: goal, sol1, sol2, label (0 or 1; -1 in the test split)."""
    yield from _one_of(f"Goal: {row['goal']}\nSolution: ", [row["sol1"], row["sol2"]], row["label"], row["goal"])


def quail(row: _Row, file: str) -> Iterator[Point]:
    """Columns: id, context_id, question_id, domain, metadata, context, question, answers (list), correct_answer_id."""
    question = f"{row['context']}\n\nQuestion: {row['question']}\nAnswer: "
    yield from _one_of(question, row["answers"], row["correct_answer_id"], row["context"])


def quartz(row: _Row, file: str) -> Iterator[Point]:
    """Columns: id, question, choices {text (list), label (list)}, answerKey, para, para_id and two annotations."""
    yield from _by_key(f"{row['para']}\nQuestion: {row['question']}\nAnswer: ", row, row["para"])


def sciq(row: _Row, file: str) -> Iterator[Point]:
    """Columns: question, distractor1 to distractor3, correct_answer, support."""
    yield from _sciq(f"Question: {row['question']}\nAnswer: ", row, row["question"])


def sciq_with_support(row: _Row, file: str) -> Iterator[Point]:
    """As `sciq`, with the passage that supports the answer before the question; rows without one are left out."""
    if row["support"].strip():
        yield from _sciq(f"{row['support']}\n\nQuestion: {row['question']}\nAnswer: ", row, row["support"])


def social_i_qa(row: _Row, file: str) -> Iterator[Point]:
    """Columns: context, question, answerA, answerB, answerC, label ("1" to "3")."""
    choices = [row["answerA"], row["answerB"], row["answerC"]]
    question = f"{row['context']}\nQuestion: {row['question']}\nAnswer: "
    yield from _one_of(question, choices, int(row["label"]) - 1, row["context"])


def _sciq(question: str, row: _Row, group: str) -> Iterator[Point]:
    return answers(question, [row["correct_answer"]], [row[f"distractor{n}"] for n in (1, 2, 3)], group)


def _by_key(question: str, row: _Row, group: str) -> Iterator[Point]:
    choices = row["choices"]
    return _one_of(question, choices["text"], choices["label"].index(row["answerKey"]), group)


def _one_of(question: str, choices: list[Any], right: int, group: str) -> Iterator[Point]:
    """Yields the points of a question whose answer number `right` is correct; none where that is withheld (-1)."""
    if 0 <= right < len(choices):
        wrong = [choice for place, choice in enumerate(choices) if place != right]
        yield from answers(question, [choices[right]], wrong, group)


def _sciq_task(name: str, points: Callable[[_Row, str], Iterator[Point]], grouped_by: str) -> HubTask:
    return HubTask(
        name=name,
        dataset="allenai/sciq",
        revision="2c94ad3e1aafab77146f384e23536f97a4849815",
        files=stored("data", "train", "validation", "test"),
        points=points,
        rows=13_679,
        examples=27_358,
        megabytes=7.7,
        licence="CC-BY-NC-3.0",
        paired=True,
        grouped_by=grouped_by,
    )


TASKS = (
    HubTask(
        name="cosmos-qa",
        dataset="allenai/cosmos_qa",
        revision="ed50fe83db62b355759053b1cd5eef344ee371e0",
        files=converted("default", "train", "validation"),
        points=cosmos_qa,
        rows=28_247,
        examples=56_494,
        megabytes=19.3,
        licence="CC-BY-4.0",
        paired=True,
        grouped_by="context",
    ),
    HubTask(
        name="dream",
        dataset="dataset-org/dream",
        revision="ca4c45feaf089ecfc37579eb2c594375f70dbfd5",
        files=converted("plain_text", "train", "validation", "test"),
        points=dream,
        rows=10_197,
        examples=20_394,
        megabytes=7.9,
        licence="unknown",
        paired=True,
        grouped_by="dialogue",
    ),
    HubTask(
        name="hellaswag",
        dataset="Rowan/hellaswag",
        revision="218ec52e09a7e7462a5400043bb9a69a41d06b76",
        files=stored("data", "train", "validation"),
        points=hellaswag,
        rows=49_947,
        examples=99_894,
        megabytes=54.5,
        licence="MIT",
        paired=True,
        grouped_by="source",
    ),
    HubTask(
        name="openbookqa",
        dataset="allenai/openbookqa",
        revision="388097ea7776314e93a529163e0fea805b8a6454",
        files=stored("main", "train", "validation", "test"),
        points=openbookqa,
        rows=5_957,
        examples=11_914,
        megabytes=1.1,
        licence="unknown",
        paired=True,
        grouped_by="question",
    ),
    HubTask(
        name="piqa",
        dataset="ybisk/piqa",
        revision="142c51238b3ca2bc61e9a075913871b8b600e8e1",
        files=converted("plain_text", "train", "validation"),
        points=piqa,
        rows=17_951,
        examples=35_902,
        megabytes=4.6,
        licence="unknown",
        paired=True,
        grouped_by="goal",
    ),
    HubTask(
        name="quail",
        dataset="textmachinelab/quail",
        revision="8c8b4a9b0b3b161f32afc4875c2ba7a2b0b25b3c",
        files=converted("quail", "train", "validation", "challenge"),
        points=quail,
        rows=12_966,
        examples=25_932,
        megabytes=29.6,
        licence="CC-BY-NC-SA-4.0",
        paired=True,
        grouped_by="passage",
    ),
    HubTask(
        name="quartz",
        dataset="allenai/quartz",
        revision="28c1dbb56caf81799296cb17892fa73402e23464",
        files=stored("data", "train", "validation", "test"),
        points=quartz,
        rows=3_864,
        examples=7_728,
        megabytes=1.7,
        licence="CC-BY-4.0",
        paired=True,
        grouped_by="background",
    ),
    _sciq_task("sciq", sciq, "question"),
    _sciq_task("sciq-with-support", sciq_with_support, "passage"),
    HubTask(
        name="social-i-qa",
        dataset="allenai/social_i_qa",
        revision="537a2ec8ec565adc0b70b70752893e59e024df26",
        files=converted("default", "train", "validation"),
        points=social_i_qa,
        rows=35_364,
        examples=70_728,
        megabytes=6.8,
        licence="CC-BY-4.0",
        paired=True,
        grouped_by="context",
    ),
)
