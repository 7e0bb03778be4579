"""The tasks and models that a spec can name: what they are, what they cost, and whether they are on this machine.

What a user brings (a file, a function, a folder, any other hub id) is not listed. Nothing is downloaded to list it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from w2s_ray import hub_models
from w2s_ray.assets import ASSETS, Asset, is_cached
from w2s_ray.dimensions import Dimensions
from w2s_ray.hub_models import HUB_MODELS, HubModel
from w2s_ray.tasks import public, sentiment
from w2s_ray.tasks.points import HubTask


@dataclass(frozen=True)
class ListedTask:
    """A task by name.

    Attributes:
        name: as `task.source` takes it.
        classes: its labels.
        examples: at most, before balance.
        megabytes: to download (package index) or of text (hub); None where no source says.
        licence: of the data.
        origin: a pinned package of the index, or the id of a hub data set.
        revision: the commit that pins a hub data set; None if the task must give one, or where a hash pins an archive.
        grouped_by: what keeps examples in one split, besides equal text.
        cached: whether it is on this machine.
        note: what people must know.
    """

    name: str
    classes: tuple[str, ...]
    examples: int
    megabytes: float | None
    licence: str
    origin: str
    revision: str | None
    grouped_by: str
    cached: bool
    note: str


@dataclass(frozen=True)
class ListedModel:
    """A model by name.

    Attributes:
        name: as `models.<name>.source` takes it.
        parameters: in millions.
        layers: that `depth` may keep.
        width: of its states.
        megabytes: to download.
        licence: of the weights.
        origin: a pinned package of the index, or the id of a hub model.
        revision: the commit that pins a hub model; None where a hash pins an archive.
        cached: whether it is on this machine.
        note: what it is.
    """

    name: str
    parameters: float
    layers: int
    width: int
    megabytes: float | None
    licence: str
    origin: str
    revision: str | None
    cached: bool
    note: str


def tasks() -> list[ListedTask]:
    """Returns every task that has a name: those of the package index first."""
    return [*map(_of_archive, sentiment.SETS.values()), *map(_of_hub, public.TASKS.values())]


def models() -> list[ListedModel]:
    """Returns every model that has a name: those of the package index first."""
    assets = (_model_of_archive(asset) for asset in ASSETS.values() if asset.holds == "model")
    return [*assets, *map(_model_of_hub, HUB_MODELS.values())]


def to_json(listed: Sequence[ListedTask] | Sequence[ListedModel]) -> list[dict[str, Any]]:
    """Returns a list as plain data."""
    return [asdict(one) for one in listed]


def task_table(listed: Sequence[ListedTask]) -> RenderableType:
    """Returns the tasks as a table, with what people must know of them below."""
    table = _table("task", "classes", "examples", "MB", "licence", "from", "cached", right=("examples", "MB"))
    for one in listed:
        cells = [one.name, " ".join(one.classes), f"{one.examples:,}", _number(one.megabytes), one.licence]
        table.add_row(*cells, one.origin, "yes" if one.cached else "")
    notes = [Padding(Text(f"- {one.name}: {one.note}", style="dim"), (0, 0, 0, 1)) for one in listed if one.note]
    return Group(table, *notes)


def model_table(listed: Sequence[ListedModel]) -> RenderableType:
    """Returns the models as a table."""
    numbers = ("parameters", "layers", "width", "MB")
    table = _table("model", *numbers, "licence", "from", "cached", right=numbers)
    for one in listed:
        cells = [
            one.name,
            f"{one.parameters:,.1f} M",
            str(one.layers),
            str(one.width),
            _number(one.megabytes),
            one.licence,
        ]
        table.add_row(*cells, one.origin, "yes" if one.cached else "")
    return table


def to_markdown(listed: Sequence[ListedTask]) -> str:
    """Returns the tasks as the table of docs/tasks.md, which leaves out what differs between machines."""
    rows = (
        (f"`{one.name}`", ", ".join(one.classes), f"{one.examples:,}", _number(one.megabytes), one.licence,
         one.grouped_by, one.origin, _commit(one))
        for one in listed
    )  # fmt: skip
    return _markdown("task|classes|examples|MB|licence|grouped by|from|commit", "---|---|--:|--:|---|---|---|---", rows)


def models_to_markdown(listed: Sequence[ListedModel]) -> str:
    """Returns the models as the table of docs/models.md, which leaves out what differs between machines."""
    rows = (
        (f"`{one.name}`", f"{one.parameters:,.1f} M", str(one.layers), str(one.width), _number(one.megabytes),
         one.licence, one.origin, _commit(one))
        for one in listed
    )  # fmt: skip
    return _markdown("model|parameters|layers|width|MB|licence|from|commit", "---|--:|--:|--:|--:|---|---|---", rows)


def _markdown(head: str, align: str, rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head.split('|'))} |", f"|{align}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _commit(one: ListedTask | ListedModel) -> str:
    return f"`{one.revision[:12]}`" if one.revision else "" if "==" in one.origin else "give it"


def _of_archive(one: sentiment.SentimentSet) -> ListedTask:
    asset = ASSETS[one.name]
    return ListedTask(
        name=one.name,
        classes=sentiment.CLASSES,
        examples=one.rows - one.per_class[1],
        megabytes=asset.megabytes,
        licence=asset.licence,
        origin=asset.requirement,
        revision=None,
        grouped_by="document" if one.by_document else "text",
        cached=is_cached(asset),
        note="",
    )


def _of_hub(task: HubTask) -> ListedTask:
    return ListedTask(
        name=task.name,
        classes=task.classes,
        examples=task.examples,
        megabytes=task.megabytes,
        licence=task.licence,
        origin=task.dataset,
        revision=task.revision,
        grouped_by=task.grouped_by,
        cached=public.is_cached(task),
        note="; ".join(filter(None, ("" if task.revision else "needs task.revision", task.note))),
    )


def _model_of_archive(asset: Asset) -> ListedModel:
    assert asset.dimensions is not None
    return _model(
        asset.name, asset.dimensions, asset.megabytes, asset.licence, asset.requirement, None, is_cached(asset),
        asset.description,
    )  # fmt: skip


def _model_of_hub(model: HubModel) -> ListedModel:
    return _model(
        model.name, model.dimensions, model.megabytes, model.licence, model.repository, model.revision,
        hub_models.is_cached(model), "decoder, base model",
    )  # fmt: skip


def _model(
    name: str,
    dimensions: Dimensions,
    megabytes: float | None,
    licence: str,
    origin: str,
    revision: str | None,
    cached: bool,
    note: str,
) -> ListedModel:
    return ListedModel(
        name=name,
        parameters=round(dimensions.parameters / 1e6, 1),
        layers=dimensions.layers,
        width=dimensions.width,
        megabytes=megabytes,
        licence=licence,
        origin=origin,
        revision=revision,
        cached=cached,
        note=note,
    )


def _table(*columns: str, right: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _number(megabytes: float | None) -> str:
    return "?" if megabytes is None else f"{megabytes:,.1f}"
