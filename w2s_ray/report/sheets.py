"""A table of a report in four forms: HTML cells, CSV for programs, LaTeX for papers, all from the same values.

A cell holds a raw value and a column knows its unit, so that CSV keeps full precision (an interval becomes three
columns) while people read rounded numbers.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from w2s_ray.report.statistics import Interval
from w2s_ray.report.wording import NONE, percent, points, ratio, share, signed

Cell = str | int | float | Interval | None

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "→": r"$\to$", "–": "--", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip


def _accuracy(value: Cell) -> str:
    return percent(value) if isinstance(value, Interval) else share(_number(value))


def _difference(value: Cell) -> str:
    if isinstance(value, Interval):
        return points(value)
    number = _number(value)
    return NONE if number is None else f"{signed(number)} points"


def _ratio(value: Cell) -> str:
    return ratio(value) if isinstance(value, Interval) else _plain(value)


def _plain(value: Cell) -> str:
    if value is None:
        return NONE
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _step(value: Cell) -> str:
    number = _number(value)
    return NONE if number is None else f"{number:,.0f}"


def _number(value: Cell) -> float | None:
    return float(value) if isinstance(value, int | float) else None


_SHOW: Mapping[str, Callable[[Cell], str]] = {
    "text": _plain,
    "prose": _plain,
    "number": _plain,
    "accuracy": _accuracy,
    "difference": _difference,
    "ratio": _ratio,
    "step": _step,
}


@dataclass(frozen=True)
class Column:
    """A column's heading, and what it holds: `text`, `prose`, `number`, `accuracy`, `difference`, `ratio` or `step`."""

    name: str
    kind: str = "text"

    @property
    def align(self) -> str:
        """How it is set: `name` stays on its line, `prose` may break, and a `number` stands to the right."""
        return {"text": "name", "prose": "prose"}.get(self.kind, "number")


@dataclass(frozen=True)
class Sheet:
    """A table. `key` names its files; `bold` are the places of rows that stand out."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    bold: frozenset[int] = frozenset()

    def shown(self) -> list[list[str]]:
        """Returns every cell as people read it."""
        return [[_SHOW[column.kind](cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows]

    def to_csv(self) -> str:
        """Returns raw values with a head; an interval takes three columns, what is undefined stays empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        wide = [any(isinstance(row[place], Interval) for row in self.rows) for place in range(len(self.columns))]
        names = [_names(column.name, is_wide) for column, is_wide in zip(self.columns, wide, strict=True)]
        writer.writerow([name for of_column in names for name in of_column])
        for row in self.rows:
            cells = (_raw(cell, is_wide) for cell, is_wide in zip(row, wide, strict=True))
            writer.writerow([value for of_cell in cells for value in of_cell])
        return out.getvalue()

    def to_latex(self) -> str:
        """Returns a `table` that needs the package booktabs."""
        align = "".join("r" if column.align == "number" else "l" for column in self.columns)
        head = " & ".join(escape_latex(column.name) for column in self.columns)
        lines = [
            " & ".join(rf"\textbf{{{escape_latex(c)}}}" if place in self.bold else escape_latex(c) for c in row)
            for place, row in enumerate(self.shown())
        ]
        return "\n".join(
            [
                r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{{align}}}", r"\toprule", rf"{head} \\", r"\midrule",
                *(rf"{line} \\" for line in lines), r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
            ]
        )  # fmt: skip


def escape_latex(text: str) -> str:
    """Returns plain text as LaTeX shows it."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _names(name: str, is_wide: bool) -> Sequence[str]:
    plain = name.replace(" ", "_").lower()
    return (plain, f"{plain}_low", f"{plain}_high") if is_wide else (plain,)


def _raw(cell: Cell, is_wide: bool) -> Sequence[Cell]:
    if not is_wide:
        return (cell,)
    return (cell.estimate, cell.low, cell.high) if isinstance(cell, Interval) else (cell, None, None)
