"""A sweep: one file that says what is searched, over which data and models, and where the results live."""

import itertools
import re
from typing import Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from w2s_ray.spec.base import Frozen
from w2s_ray.spec.method import DEFAULTS, Value
from w2s_ray.spec.model import Model, Pairing
from w2s_ray.spec.problems import SpecError
from w2s_ray.spec.resources import ResourcePlan
from w2s_ray.spec.search import Objective, Search, Tracking
from w2s_ray.spec.space import Dimension
from w2s_ray.spec.task import Task

DEFAULT_STORE = "w2s-runs"


class Sweep(Frozen):
    """A study over weak-to-strong experiments. `w2s_ray.run(Sweep(...))` does what `w2s run SPEC` does.

    Raises:
        pydantic.ValidationError: a field is wrong, or fields do not fit together; every problem is listed with its
            place and its mend. `w2s_ray.spec.yaml.load` turns it into SpecError, with file and lines.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # the whole of it may hold a secret; fields name their values

    name: str = Field(description="letters, digits, dot, dash and underscore; also the MLflow experiment")
    task: Task
    models: dict[str, Model] = Field(min_length=2)
    pairings: tuple[Pairing, ...] = Field(min_length=1)
    methods: dict[str, dict[str, Value]] = Field(
        min_length=1, description="method to settings that replace its defaults"
    )
    space: dict[str, Dimension] = Field(default_factory=dict)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    objective: Objective = Objective()
    search: Search = Search()
    resources: ResourcePlan = ResourcePlan()
    store: str = DEFAULT_STORE
    tracking: Tracking = Tracking()

    @field_validator("name")
    @classmethod
    def _name_is_a_file_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError("use letters, digits, '.', '-' and '_' only, beginning with a letter or digit")
        return name

    @field_validator("pairings", mode="before")
    @classmethod
    def _ladder_is_all_pairs(cls, pairings: Any) -> Any:
        if not isinstance(pairings, dict):
            return pairings
        if set(pairings) != {"ladder"} or not isinstance(pairings["ladder"], list | tuple):
            raise ValueError("give a list of {weak, strong} pairs, or {ladder: [smallest, ..., largest]}")
        rungs = tuple(pairings["ladder"])
        pairs = itertools.combinations(range(len(rungs)), 2)
        return tuple({"weak": rungs[i], "strong": rungs[j], "intermediates": rungs[i + 1 : j]} for i, j in pairs)

    @field_validator("methods", mode="before")
    @classmethod
    def _methods_may_be_a_list(cls, methods: Any) -> Any:
        if isinstance(methods, list | tuple):
            return {name: {} for name in methods}
        return {name: settings or {} for name, settings in methods.items()} if isinstance(methods, dict) else methods

    @field_validator("space", "models", mode="before")
    @classmethod
    def _nothing_is_an_empty_mapping(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _a_number_of_seeds(cls, seeds: Any) -> Any:
        return tuple(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds

    @field_validator("objective", mode="before")
    @classmethod
    def _objective_by_name(cls, objective: Any) -> Any:
        return {"labels": objective} if isinstance(objective, str) else objective

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "Sweep":
        from w2s_ray.spec.checks import problems_of

        problems = problems_of(self)
        if problems:
            raise SpecError(problems)
        return self

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        """The `search.confirm` smallest seeds that no trial uses."""
        unused = (seed for seed in itertools.count() if seed not in self.seeds)
        return tuple(itertools.islice(unused, self.search.confirm))

    def settings_of(self, method: str) -> dict[str, Value]:
        """Returns the default settings of `method` in this sweep."""
        return {**DEFAULTS[method], **self.methods[method]}

    def pairing(self, name: str) -> Pairing:
        """Returns the pairing called `name`; raises KeyError if there is none."""
        return {pairing.name: pairing for pairing in self.pairings}[name]
