"""What all figures of a report share: panels, colours, legends, and how they become files.

Colours are Okabe and Ito's, which people with any colour vision can tell apart, and every series has its marker too.
Figures are objects without pyplot, so that nothing global changes and no display is needed. Each figure is drawn for a
number of columns: three side by side for paper and desktop, one for a phone, at the same size of letters.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from w2s_ray.report.answers import PairingAnswer, Report
from w2s_ray.spec.method import DEFAULTS

Line = Literal["-", "--", ":", ""]
WIDE, NARROW = 3, 1  # panels in a row
WEAK, CEILING, DARK = "#767676", "#000000", "#444444"
_WIDTH, _HEIGHT = 3.8, 3.2  # inches of a panel
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")


def grid(titles: Sequence[str], columns: int) -> tuple[Figure, list[Axes]]:
    """Returns a figure with one titled panel for each of `titles`, at most `columns` in a row."""
    columns_used = min(len(titles), columns)
    rows = -(-len(titles) // columns_used)
    # One panel alone is wider where there is room, or the legend would not fit above it.
    width = columns_used if columns == NARROW else max(1.5, columns_used)
    figure = Figure(figsize=(width * _WIDTH, rows * _HEIGHT + 0.4), layout="constrained")
    panels = []
    for index, title in enumerate(titles):
        axes = figure.add_subplot(rows, columns_used, index + 1)
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#E5E5E5", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9)
        panels.append(axes)
    return figure, panels


def pairing_grid(report: Report, label: str, columns: int) -> tuple[Figure, list[tuple[PairingAnswer, Axes]]]:
    """Returns a figure with a panel for each pairing, and those to fill; the first of a row has the y label."""
    figure, panels = grid([pairing.name for pairing in report.pairings], columns)
    filled = []
    for index, (pairing, axes) in enumerate(zip(report.pairings, panels, strict=True)):
        if index % columns == 0:
            axes.set_ylabel(label)
        if pairing.methods:
            filled.append((pairing, axes))
        else:
            say(axes, "no finished trial yet")
            axes.set(xticks=[], yticks=[])
    return figure, filled


def say(axes: Axes, text: str) -> None:
    """Writes words into the middle of a panel that has nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")


def scale_axis(axes: Axes, which: Literal["x", "y"], is_log: bool, is_whole: bool = False) -> None:
    """Sets a parameter's axis: logarithmic with labels at 1 and 3 times powers of ten, or with whole numbers alone."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if is_log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    elif is_whole:
        axis.set_major_locator(MaxNLocator(integer=True))


def style(index: int) -> tuple[str, str]:
    """Returns colour and marker of a series; 36 of them differ."""
    count = len(_COLORS)
    return _COLORS[index % count], _MARKERS[(index + index // count) % count]


def method_style(method: str) -> tuple[str, str]:
    """Returns colour and marker of a method, the same in every figure and sweep."""
    return style(list(DEFAULTS).index(method))


def handle(label: str, color: str, line: Line, marker: str = "", face: str = "") -> Line2D:
    """Returns an entry of a legend."""
    made = Line2D([], [], color=color, linestyle=line, marker=marker, markersize=5, linewidth=1.2, label=label)
    made.set_markerfacecolor(face or color)
    return made


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """Puts a legend above all panels, in as many columns as fit."""
    labels = [str(one.get_label()) for one in handles]
    columns = next((n for n in (5, 4, 3, 2) if _legend_width(labels, n) <= figure.get_figwidth()), 1)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)


def _legend_width(labels: Sequence[str], columns: int) -> float:
    """Returns inches: a letter of 9 points takes 0.075 on average, line and space 0.55; columns are filled in turn."""
    parts = np.array_split(np.array([len(label) for label in labels]), columns)
    return float(sum(0.075 * part.max() + 0.55 for part in parts if len(part)))


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG or SVG, by the path's suffix; the same figure gives the same bytes."""
    if path.suffix == ".svg":
        path.write_bytes(svg_of(figure))
    else:
        figure.savefig(path, dpi=150)


def svg_of(figure: Figure) -> bytes:
    """Returns a figure as SVG with its letters as outlines, so that it looks the same everywhere."""
    content = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "w2s_ray"}):  # a fixed salt and no date
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
