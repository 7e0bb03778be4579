"""Is a sentence from a movie review positive? 10,605 sentences, each rated by about 20 people from -4 to 4.

The set of Hutto and Gilbert (VADER, ICWSM 2014), of Rotten Tomatoes sentences. A sentence whose mean rating lies within
0.3 of zero has no class. The ids are the numbers of the rows: they do not tell which review a sentence comes from, so
each sentence is a group of its own.
"""

from pathlib import Path

from w2s_ray.assets import fetch
from w2s_ray.tasks.row import Row

NAME = "movie-reviews"
NEUTRAL = 0.3
"""Least distance of a mean rating from zero."""


def read() -> list[Row]:
    """Returns all rows of the asset. Raises AssetError if it cannot be had."""
    return read_file(fetch(NAME) / "movie_reviews.txt")


def read_file(path: Path) -> list[Row]:
    """Returns the rows of a file with an id, a mean rating and a text in each line, separated by tabs."""
    lines = path.read_bytes().split(b"\n")
    return [_row(f"{NAME}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip()]


def _row(name: str, line: bytes) -> Row:
    try:
        _, score, text = line.decode("utf-8").rstrip("\r").split("\t")
        rating = float(score)
    except UnicodeDecodeError:
        return Row(name, None, None, problem="not UTF-8")
    except ValueError:
        return Row(name, None, None, problem="not an id, a rating and a text")
    if not -4 <= rating <= 4:
        return Row(name, text, None, problem="rating outside [-4, 4]")
    if abs(rating) < NEUTRAL:
        return Row(name, text, None, problem=f"neutral: rating within {NEUTRAL} of zero")
    return Row(name, text, "positive" if rating > 0 else "negative")
