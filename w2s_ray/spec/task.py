"""What is to be learned: where the examples come from and how many go to each split."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

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
    difficulty: str | None = Field(
        default=None,
        description="a number that is larger for harder rows; for difficulty: {by: column}",
        json_schema_extra={"since_default": True},
    )


class Difficulty(Frozen):
    """The weak supervisor learns from easy examples; student, validation and test hold hard ones, class by class."""

    by: Literal["column", "rating", "length"] = Field(
        description="the table's own column, how near its class's border a text was rated (sets of ratings), or words"
    )
    easy: float = Field(default=0.5, gt=0, lt=1, description="share of each class that is easy")
    hard: float = Field(default=0.5, gt=0, lt=1, description="share of each class that is hard")

    @model_validator(mode="after")
    def _shares_do_not_overlap(self) -> "Difficulty":
        if self.easy + self.hard > 1:
            raise ValueError(f"easy and hard are at most 1 together, got {self.easy:g} and {self.hard:g}")
        return self


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
    difficulty: Difficulty | None = Field(
        default=None,
        description="easy examples for the weak supervisor and hard ones for all else; null mixes them",
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

    @model_validator(mode="after")
    def _difficulty_has_its_column(self) -> "Task":
        by_column = self.difficulty is not None and self.difficulty.by == "column"
        if by_column and self.columns.difficulty is None:
            raise ValueError("difficulty: {by: column} needs columns.difficulty, the column's name")
        if self.columns.difficulty is not None and not by_column:
            raise ValueError("columns.difficulty does nothing without difficulty: {by: column}; set it, or remove it")
        return self
