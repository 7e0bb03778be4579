"""One text, one label: sentences, reviews, tweets, statements and replies.

CoLA, SST-2 and amazon-polarity are described in `dataset_infos.json` of huggingface/datasets (before it dropped them),
ETHICS in the script that lm-evaluation-harness had for it, hh-rlhf and twitter-sentiment by public code that reads
them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from w2s_ray.tasks.points import HubTask, Point, answers, converted, stored, yes_no

_Row = Mapping[str, Any]
_GLUE = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
ETHICS = "EleutherAI/hendrycks_ethics"
ETHICS_REVISION = "4ea087e182233973480bd2329176fda2201da5ef"


def cola(row: _Row, file: str) -> Iterator[Point]:
    """Columns: sentence, label (1: acceptable), idx."""
    yield Point(f"{row['sentence']}\nIs this sentence grammatical?", yes_no(row["label"]))


def sst2(row: _Row, file: str) -> Iterator[Point]:
    """Columns: sentence, label (1: positive), idx. Many rows of train are phrases of others, which no column tells."""
    yield Point(f"{row['sentence'].strip()}\nIs this positive?", yes_no(row["label"]))


def twitter_sentiment(row: _Row, file: str) -> Iterator[Point]:
    """Columns: text, label (1: positive)."""
    yield Point(f"{row['text']}\nIs this positive?", yes_no(row["label"]))


def amazon_polarity(row: _Row, file: str) -> Iterator[Point]:
    """Columns: label (1: positive), title, content."""
    yield Point(f"{row['title']}\n{row['content']}\nIs this positive?", yes_no(row["label"]))


def ethics_justice(row: _Row, file: str) -> Iterator[Point]:
    """Columns: group_id (counted in each file), label (1: reasonable), scenario. Four variants of one make a group."""
    yield Point(f"{row['scenario']}\nIs this reasonable?", yes_no(row["label"]), f"{file} {row['group_id']}")


def anthropic_hh(row: _Row, file: str) -> Iterator[Point]:
    """Columns: chosen, rejected: two dialogues that differ in the last reply. Both replies to a prompt are kept."""
    prompt = row["chosen"].rpartition("\n\nAssistant:")[0]
    if prompt == row["rejected"].rpartition("\n\nAssistant:")[0]:
        replies = [row[column][len(prompt) :] for column in ("chosen", "rejected")]
        yield from answers(prompt.strip(), replies[:1], replies[1:], prompt, "\n\nIs this the better reply?")


_HH = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")

TASKS = (
    HubTask(
        name="cola",
        dataset="nyu-mll/glue",
        revision=_GLUE,
        files=stored("cola", "train", "validation"),
        points=cola,
        rows=9_594,
        examples=9_594,
        megabytes=0.5,
        licence="other",
    ),
    HubTask(
        name="sst2",
        dataset="nyu-mll/glue",
        revision=_GLUE,
        files=stored("sst2", "train", "validation"),
        points=sst2,
        rows=68_221,
        examples=68_221,
        megabytes=4.8,
        licence="other",
        note="many training rows are phrases of other rows, which no column tells, so splits are not wholly disjoint",
    ),
    HubTask(
        name="twitter-sentiment",
        dataset="EleutherAI/twitter-sentiment",
        revision=None,
        files=stored("data", "train", "test"),
        points=twitter_sentiment,
        rows=1_580_000,
        examples=158_000,
        megabytes=None,
        licence="unknown",
        share=0.1,
        note="a tenth of the set is used",
    ),
    HubTask(
        name="amazon-polarity",
        dataset="fancyzhx/amazon_polarity",
        revision="9d9c45c18f8c3cf1b23a3c27917b60cbf28f3289",
        files=stored("amazon_polarity", "test"),
        points=amazon_polarity,
        rows=400_000,
        examples=100_000,
        megabytes=178.2,
        licence="Apache-2.0",
        share=0.25,
        note="a quarter of the set's test split is used",
    ),
    HubTask(
        name="ethics-justice",
        dataset=ETHICS,
        revision=ETHICS_REVISION,
        files=converted("justice", "train", "test"),
        points=ethics_justice,
        rows=24_495,
        examples=24_495,
        megabytes=2.8,
        licence="MIT",
        grouped_by="scenario",
    ),
    HubTask(
        name="anthropic-hh",
        dataset="Anthropic/hh-rlhf",
        revision="09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa",
        files=tuple(f"{part}/{split}.jsonl.gz" for part in _HH for split in ("train", "test")),
        points=anthropic_hh,
        rows=169_352,
        examples=84_676,
        megabytes=None,
        licence="MIT",
        paired=True,
        grouped_by="prompt",
        form="json",
        share=0.25,
        note=(
            "one reply alone hardly tells whether people preferred it: models sit at chance (0.49 to 0.50 in the "
            "released code's results), so PGR means nothing here; preferences are for pairs, in reward modelling"
        ),
    ),
)
