"""The report for people, in the terminal and in Markdown: sentences first, then numbers, then what to keep in mind."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from w2s_ray.report.answers import MethodAnswer, PairingAnswer, Report
from w2s_ray.report.wording import answer_of, notes_of, percent, ratio, settings, share

DEFAULT_ROW = "naive default"
_COLUMNS = ("method", "student accuracy", "PGR", "repeats weak errors", "trial", "settings")


def print_report(report: Report, console: Console) -> None:
    """Prints the whole report."""
    console.print(to_renderable(report))


def to_renderable(report: Report) -> RenderableType:
    """Returns the report as something that rich can print at any width."""
    parts: list[RenderableType] = [Text(f"{report.sweep} on {report.task}", style="bold"), Text()]
    for pairing in report.pairings:
        parts.append(Text.assemble((f"{pairing.name}: ", "bold cyan"), answer_of(pairing)))
    for pairing in report.pairings:
        if pairing.methods:
            parts += [Text(), _table(pairing), *_settings_lines(pairing)]
    parts += [Text(), Text("What to keep in mind", style="bold")]
    parts += [Padding(Text(f"- {note}", style="dim"), (0, 0, 0, 1)) for note in notes_of(report)]
    return Group(*parts)


def to_markdown(report: Report, figures: Sequence[str] = ()) -> str:
    """Returns the report as Markdown that ends in the pictures at the relative paths `figures`."""
    lines = [f"# {report.sweep}", "", f"Task: {report.task}", "", "## Answer", ""]
    lines += [f"- **{pairing.name}**: {answer_of(pairing)}" for pairing in report.pairings]
    lines += ["", "## Numbers", ""]
    for pairing in report.pairings:
        if pairing.methods:
            lines += [f"### {pairing.name}", "", _baselines(pairing), "", *_markdown_table(pairing), ""]
    lines += ["## What to keep in mind", "", *(f"- {note}" for note in notes_of(report)), ""]
    if figures:
        lines += ["## Figures", "", *(f"![{_caption(path)}]({path})" for path in figures), ""]
    return "\n".join(lines)


def _table(pairing: PairingAnswer) -> Table:
    """All columns but the settings, which would squeeze the others on a narrow terminal."""
    title = escape(f"{pairing.name}   {_baselines(pairing)}")
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS[:-1]:
        table.add_column(column, justify="left" if column == "method" else "right")
    for cells, is_best in _rows(pairing):
        table.add_row(*map(escape, cells[:-1]), style="bold" if is_best else None)
    return table


def _settings_lines(pairing: PairingAnswer) -> Iterator[RenderableType]:
    for cells, _ in _rows(pairing):
        yield Text(f" {cells[0]}: {cells[-1]}", style="dim")


def _markdown_table(pairing: PairingAnswer) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---|---:|---:|---:|---:|---|"
    for cells, is_best in _rows(pairing):
        shown = (cell.replace("|", "\\|") for cell in cells)
        name, *rest = shown
        yield f"| {' | '.join([f'**{name}**' if is_best else name, *rest])} |"


def _rows(pairing: PairingAnswer) -> Iterator[tuple[list[str], bool]]:
    if pairing.naive_default is not None:
        yield _cells(DEFAULT_ROW, pairing.naive_default, f"{pairing.naive_default.trial}"), False
    for answer in pairing.methods:
        trial = f"{answer.trial}, best of {answer.num_compared}"
        yield _cells(answer.method, answer, trial), answer.method == pairing.best


def _cells(name: str, answer: MethodAnswer, trial: str) -> list[str]:
    return [
        name,
        percent(answer.student),
        ratio(answer.pgr),
        share(answer.agreement.weak_wrong),
        trial,
        settings(answer.params),
    ]


def _baselines(pairing: PairingAnswer) -> str:
    return f"weak {percent(pairing.weak_accuracy)}, ceiling {percent(pairing.ceiling_accuracy)}"


def _caption(path: str) -> str:
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0].replace("-", " ")
