"""Is a text positive? Four sets of sentences and tweets, each rated by about 20 people from -4 to 4.

The sets of Hutto and Gilbert (VADER, ICWSM 2014): sentences of Rotten Tomatoes reviews, of reviews of five products
(after Hu and Liu), of New York Times editorials, and tweet-like texts. A text whose mean rating lies within 0.3 of zero
has no class, or is "neutral" where the task lists that class.

The ids of product reviews and editorials are "document_sentence", so sentences of one document stay together. Those of
movie reviews and tweets are the numbers of the rows and tell no document, so each text stands alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from w2s_ray.assets import fetch
from w2s_ray.tasks.row import Row

NEUTRAL = 0.3
"""Least distance of a mean rating from zero."""
CLASSES = ("negative", "positive")
ALL_CLASSES = ("negative", "neutral", "positive")


@dataclass(frozen=True)
class SentimentSet:
    """One of the sets: its asset has its name.

    Attributes:
        name: how specs name it.
        file: in the unpacked asset.
        by_document: whether an id begins with the number of the document that the sentence is from.
        rows: in the file.
        per_class: rows of each of `ALL_CLASSES`.
    """

    name: str
    file: str
    by_document: bool
    rows: int
    per_class: tuple[int, int, int]


_ALL = (
    SentimentSet("movie-reviews", "movie_reviews.txt", False, 10_605, (5202, 287, 5116)),
    SentimentSet("tweets", "tweets.txt", False, 4_200, (1171, 446, 2583)),
    SentimentSet("product-reviews", "product_reviews.txt", True, 3_708, (1311, 532, 1865)),
    SentimentSet("editorials", "editorials.txt", True, 5_190, (2171, 1481, 1538)),
)
SETS: Mapping[str, SentimentSet] = MappingProxyType({one.name: one for one in _ALL})
"""Every set by its name."""


def read(name: str, neutral: bool = False) -> list[Row]:
    """Returns all rows of a set. Raises AssetError if it cannot be had."""
    return read_file(fetch(name) / SETS[name].file, SETS[name], neutral)


def read_file(path: Path, one: SentimentSet, neutral: bool = False) -> list[Row]:
    """Returns the rows of a file with an id, a mean rating and a text in each line, separated by tabs.

    Args:
        path: the file.
        one: the set it belongs to.
        neutral: whether a rating near zero is a class, or makes the row unfit.
    """
    lines = path.read_bytes().split(b"\n")
    return [_row(f"{one.name}:{n}", line, one.by_document, neutral) for n, line in enumerate(lines, 1) if line.strip()]


def _row(name: str, line: bytes, by_document: bool, neutral: bool) -> Row:
    try:
        number, score, text = line.decode("utf-8").rstrip("\r").split("\t")
        rating = float(score)
    except UnicodeDecodeError:
        return Row(name, None, None, problem="not UTF-8")
    except ValueError:
        return Row(name, None, None, problem="not an id, a rating and a text")
    group = number.partition("_")[0] if by_document else None
    if not -4 <= rating <= 4:
        return Row(name, text, None, group, problem="rating outside [-4, 4]")
    difficulty = -abs(abs(rating) - NEUTRAL)  # a text is harder, the nearer it was rated to the border of its class
    if abs(rating) >= NEUTRAL:
        return Row(name, text, "positive" if rating > 0 else "negative", group, difficulty=difficulty)
    if neutral:
        return Row(name, text, "neutral", group, difficulty=difficulty)
    return Row(name, text, None, group, problem=f"neutral: rating within {NEUTRAL} of zero")
