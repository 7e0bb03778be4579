"""What is to be learned: where the examples come from and how many go to each split."""

from typing import Any

from pydantic import Field, field_validator

from w2s_ray.spec.base import Frozen


class Splits(Frozen):
    """Examples per split; the classes of each are balanced. `test: null` takes all that the test range holds."""

    weak: int = Field(ge=2, description="ground truth for the weak supervisor")
    student: int = Field(
        ge=2, description="texts that the weak supervisor labels for the student; ceiling's training set"
    )
    validation: int = Field(ge=2, description="for choosing hyper-parameters")
    test: int | None = Field(default=None, ge=2, description="for the report alone; null takes the rest")


class Columns(Frozen):
    """The columns of the user's own table."""

    text: str = "text"
    label: str = "label"
    group: str | None = Field(default=None, description="rows that share it stay in one split")


class Task(Frozen):
    """A named task, a CSV, JSON-lines or Parquet file, a Python function, or a hub dataset id with its revision."""

    source: str = Field(
        min_length=1, description="a name that `w2s tasks` lists, a file's path, module:function, or a hub dataset id"
    )
    test_source: str | None = Field(default=None, description="a second file that holds the test split")
    revision: str | None = Field(default=None, description="commit of the hub dataset; required for a hub id")
    columns: Columns = Columns()
    splits: Splits
    classes: tuple[str, ...] | int | None = Field(
        default=None,
        description="the classes by name, or how many: the most frequent ones; null is two",
        json_schema_extra={"since_default": True},
    )
    balance: bool = Field(
        default=True,
        description="as many examples of each class in a split, or as the data has them",
        json_schema_extra={"since_default": True},
    )
    seed: int = Field(default=0, ge=0, description="which of the possible splits")

    @field_validator("classes", mode="before")
    @classmethod
    def _class_names_are_text(cls, classes: Any) -> Any:
        """YAML reads `[0, 1, 2]` and `[no, yes]` as it likes; labels are compared as text."""
        if isinstance(classes, int | None) and not isinstance(classes, bool):
            return classes
        if not isinstance(classes, list | tuple):
            raise ValueError("list the classes, as in [good, dull, bad], or say how many there are")
        return tuple(str(name).lower() if isinstance(name, bool) else str(name).strip() for name in classes)

    @field_validator("classes")
    @classmethod
    def _two_classes_or_more(cls, classes: tuple[str, ...] | int | None) -> tuple[str, ...] | int | None:
        count = len(set(classes)) if isinstance(classes, tuple) else classes
        if count is not None and count < 2:
            raise ValueError("a task has two classes or more")
        if isinstance(classes, tuple) and count != len(classes):
            raise ValueError("a class is listed twice")
        return classes
