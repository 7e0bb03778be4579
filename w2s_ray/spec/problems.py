"""What is wrong with a spec, said so that the reader can mend it: place, value, what would be right."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from w2s_ray.secrets import without_secrets

Place = tuple[str | int, ...]
"""Keys and indices from the top of the spec, as in ("pairings", 0, "weak")."""


@dataclass(frozen=True)
class Problem:
    """One thing to mend. `file` and `line` are known where the spec came from a file."""

    place: Place
    message: str
    fix: str = ""
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        path = ".".join(str(part) for part in self.place)
        return without_secrets(
            f"{where}{path + ': ' if path else ''}{self.message}{'; ' + self.fix if self.fix else ''}"
        )


class SpecError(ValueError):
    """A spec that cannot run; its text lists every problem, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type["SpecError"], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns the fix for an unknown `word`: the nearest known one, or all of them."""
    names = [str(name) for name in known]
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
