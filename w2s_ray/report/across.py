"""The paper's way to say what came out over many tasks: for each pairing and method the median and the mean PGR.

A task counts once, with the chosen trial of each method. Tasks whose PGR is undefined (the ceiling is not clearly above
the weak model) say nothing about a share of the gap and are counted beside it, not as 0. Intervals are 95 %, with the
tasks as what was sampled: of the mean by Student's t, of the median by order statistics (the sign test), which assumes
nothing of the distribution and has no 95 % interval below six tasks. A task's own error is part of the spread.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median, stdev

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy.special import bdtr, stdtrit

from w2s_ray.report.answers import CONFIDENCE, MethodAnswer, PairingAnswer, Report, to_json
from w2s_ray.report.sheets import Column, Sheet
from w2s_ray.report.statistics import UNDEFINED, Interval
from w2s_ray.report.tables import DEFAULT_ROW


@dataclass(frozen=True)
class Across:
    """What a method came to in a pairing, over the tasks in which it has a finished trial.

    Attributes:
        num_tasks, num_defined: these tasks, and those of them with a defined PGR.
        accuracy: median test accuracy of the student; weak and ceiling likewise, on the same tasks.
        median, mean: of the defined PGRs; None without any.
        median_interval, mean_interval: undefined where there are too few.
    """

    pairing: str
    method: str
    num_tasks: int
    num_defined: int
    weak: float
    accuracy: float
    ceiling: float
    median: float | None
    median_interval: Interval
    mean: float | None
    mean_interval: Interval


def across(reports: Sequence[Report]) -> tuple[Across, ...]:
    """Returns a row for each pairing and method that two reports or more have a finished trial of."""
    pairings = list(dict.fromkeys(pairing.name for report in reports for pairing in report.pairings))
    rows = []
    for name in pairings:
        found = [pairing for report in reports for pairing in report.pairings if pairing.name == name]
        methods = dict.fromkeys(method for pairing in found for method, _ in _named(pairing))
        rows += [_across(name, method, found) for method in methods]
    return tuple(row for row in rows if row.num_tasks > 1)


def across_sheet(rows: Sequence[Across]) -> Sheet:
    """The rows as a table."""
    columns = (Column("pairing"), Column("method"), Column("tasks", "number"), Column("weak", "accuracy"),
               Column("student", "accuracy"), Column("ceiling", "accuracy"), Column("PGR of", "number"),
               Column("median PGR", "ratio"), Column("mean PGR", "ratio"))  # fmt: skip
    cells = tuple(
        (
            row.pairing, row.method, row.num_tasks, row.weak, row.accuracy, row.ceiling, row.num_defined,
            row.median_interval if row.median_interval.is_defined else row.median,
            row.mean_interval if row.mean_interval.is_defined else row.mean,
        )
        for row in rows
    )  # fmt: skip
    caption = (
        "Over all tasks: median test accuracies, and PGR with 95 % intervals over tasks. PGR is of the tasks whose "
        "ceiling is clearly above the weak model."
    )
    return Sheet("across", caption, columns, cells)


def reports_json(reports: Sequence[Report], name: str | None) -> object:
    """Returns reports as plain data: one as it is, several as a list, those of a file called `name` with their sum."""
    made = [to_json(report) for report in reports]
    if name is not None:
        return {"sweep": name, "sweeps": made, "across": [asdict(row) for row in across(reports)]}
    return made[0] if len(made) == 1 else made


def print_across(rows: Sequence[Across], console: Console) -> None:
    """Prints the table, if there is one."""
    if not rows:
        return
    sheet = across_sheet(rows)
    table = Table(
        title=escape(sheet.caption), title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in sheet.columns:
        table.add_column(
            column.name, justify="left" if column.align == "name" else "right", no_wrap=column.align == "name"
        )
    for row in sheet.shown():
        table.add_row(*map(escape, row))
    console.print(table)


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Returns the median with limits that are two of the values; undefined for too few of them.

    With k the largest number such that P(Binomial(n, 1/2) < k) is at most half of what may be missed, the limits are
    the k-th smallest and the k-th largest: at least `confidence` of such intervals hold the true median.
    """
    ordered, count = sorted(values), len(values)
    outside = (1 - confidence) / 2
    k = sum(bdtr(below, count, 0.5) <= outside for below in range(count))
    return Interval(median(ordered), ordered[k - 1], ordered[count - k]) if k else UNDEFINED


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Returns the mean with Student's limits; undefined for fewer than two values."""
    count = len(values)
    if count < 2:
        return UNDEFINED
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * stdev(values) / math.sqrt(count)
    return Interval(mean(values), mean(values) - half, mean(values) + half)


def _across(name: str, method: str, pairings: Sequence[PairingAnswer]) -> Across:
    found = [(pairing, answer) for pairing in pairings for one, answer in _named(pairing) if one == method]
    ratios = [answer.pgr.estimate for _, answer in found if answer.pgr.estimate is not None]
    return Across(
        pairing=name,
        method=method,
        num_tasks=len(found),
        num_defined=len(ratios),
        weak=median(pairing.weak_accuracy.estimate or 0.0 for pairing, _ in found),
        accuracy=median(answer.student.estimate or 0.0 for _, answer in found),
        ceiling=median(pairing.ceiling_accuracy.estimate or 0.0 for pairing, _ in found),
        median=median(ratios) if ratios else None,
        median_interval=median_interval(ratios),
        mean=mean(ratios) if ratios else None,
        mean_interval=mean_interval(ratios),
    )


def _named(pairing: PairingAnswer) -> Iterator[tuple[str, MethodAnswer]]:
    if pairing.naive_default is not None:
        yield DEFAULT_ROW, pairing.naive_default
    for answer in pairing.methods:
        yield answer.method, answer
