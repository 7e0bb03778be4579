"""What is to be learned: where the examples come from and how many go to each split."""

from pydantic import Field

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
    """A named task, a CSV, JSON-lines or Parquet file, or a hub dataset id with its revision."""

    source: str = Field(min_length=1, description="movie-reviews, a file's path, or a hub dataset id")
    test_source: str | None = Field(default=None, description="a second file that holds the test split")
    revision: str | None = Field(default=None, description="commit of the hub dataset; required for a hub id")
    columns: Columns = Columns()
    splits: Splits
    seed: int = Field(default=0, ge=0, description="which of the possible splits")
