"""What a check found: one thing, where, how bad it is, and how to mend it.

Nothing that a finding says holds a secret: addresses lose their passwords and tokens, and so does whatever an error of
another library repeats of the variables that hold them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from rich import box
from rich.table import Table
from rich.text import Text

from w2s_ray.secrets import redacted

State = Literal["ok", "warning", "problem"]
_COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "red"}
_BAD: tuple[State, ...] = ("problem", "warning")
_LINES = 4  # of what is well


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: its name.
        state: `problem` if a run would fail or go wrong by it, `warning` if it may.
        says: what was seen.
        mend: how to mend it; empty where it is `ok`.
        where: the machine or node; filled in by whoever knows it.
    """

    check: str
    state: State
    says: str
    mend: str = ""
    where: str = ""


def ok(check: str, says: str) -> Finding:
    """Returns that all is well."""
    return Finding(check, "ok", redacted(says))


def warning(check: str, says: str, mend: str) -> Finding:
    """Returns what may go wrong."""
    return Finding(check, "warning", redacted(says), redacted(mend))


def problem(check: str, says: str, mend: str) -> Finding:
    """Returns what will go wrong."""
    return Finding(check, "problem", redacted(says), redacted(mend))


def advised(check: str, message: str, otherwise: str) -> Finding:
    """Returns the problem that one of our own messages tells, `what is wrong; what to do`.

    Args:
        check: its name.
        message: of an exception; what follows its first semicolon is the mend.
        otherwise: the mend where there is no semicolon.
    """
    says, _, mend = message.partition("; ")
    return problem(check, says, mend or otherwise)


def placed(findings: Iterable[Finding], where: str) -> list[Finding]:
    """Returns the findings, those without a place at `where`."""
    return [replace(one, where=one.where or where) for one in findings]


def first_line(error: BaseException) -> str:
    """Returns `Type: first line` of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}"


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether a run would fail."""
    return any(one.state == "problem" for one in findings)


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Returns the stable form of `w2s doctor --json`."""
    return {"ok": not has_problem(findings), "findings": [asdict(one) for one in findings]}


def to_table(findings: Iterable[Finding]) -> Table:
    """Returns the findings for people; what is well in the same way on many nodes takes one line."""
    table = Table("check", "where", "state", box=box.SIMPLE, pad_edge=False)
    table.add_column("found, and how to mend it", overflow="fold")  # paths are to be read whole
    for one in together(findings):
        said = Text(one.says)
        if one.mend:
            said.append(f"\n→ {one.mend}", style="bold")
        table.add_row(Text(one.check), Text(one.where), Text(one.state, style=_COLOURS[one.state]), said)
    return table


def together(findings: Iterable[Finding]) -> list[Finding]:
    """Returns the findings check by check, the worst first, those that are `ok` as one."""
    by_check: dict[str, list[Finding]] = {}
    for one in findings:
        by_check.setdefault(one.check, []).append(one)
    return [row for ones in by_check.values() for row in _rows(ones)]


def counted(findings: Iterable[Finding]) -> str:
    """Returns how many problems and warnings there are, in words."""
    states = Counter(one.state for one in findings)
    words = [f"{states[state]} {state}{'s' * (states[state] > 1)}" for state in _BAD if states[state]]
    return ", ".join(words) or "nothing found that would break a run"


def _rows(ones: Sequence[Finding]) -> list[Finding]:
    bad = [one for state in _BAD for one in ones if one.state == state]
    well = [one for one in ones if one.state == "ok"]
    return [*bad, *([_merged(well)] if well else [])]


def _merged(ones: Sequence[Finding]) -> Finding:
    says, places = list(dict.fromkeys(one.says for one in ones)), list(dict.fromkeys(one.where for one in ones))
    more = [f"and {len(says) - _LINES} more"] if len(says) > _LINES else []
    where = places[0] if len(places) == 1 else f"{len(places)} places"
    return replace(ones[0], where=where, says="\n".join([*says[:_LINES], *more]))
