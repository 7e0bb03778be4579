"""What is kept of a confirmation: a trial's experiment, run again with seeds that no trial used.

It is an attribute of the Optuna study of the trial's pairing, named after the trial, since a trial that has ended takes
nothing more. It is written before the first stage is asked for, so that `w2s gc` knows what a driver that died was
making, and again at the end. That of a trial which is best no more stays, but is no longer reported.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_PREFIX = "confirmation "


@dataclass(frozen=True)
class Confirmation:
    """A trial's experiment with fresh seeds.

    Attributes:
        seeds: those that no trial used.
        stages: role to the address of its stage for each of them, in their order.
        state: `running` until all stages were made, then `complete`; `failed` if one could not be.
        error: why it failed.
    """

    seeds: tuple[int, ...]
    stages: Mapping[str, tuple[str, ...]]
    state: str = "running"
    error: str | None = None

    def attribute(self, trial: int) -> tuple[str, dict[str, Any]]:
        """Returns name and value of the attribute that keeps the confirmation of trial number `trial`."""
        return f"{_PREFIX}{trial}", asdict(self)


def confirmations_in(*attributes: Mapping[str, Any]) -> dict[int, Confirmation]:
    """Returns the confirmations among the attributes of Optuna studies, by the trials' numbers."""
    return {
        int(name.removeprefix(_PREFIX)): Confirmation(
            seeds=tuple(made["seeds"]),
            stages={role: tuple(addresses) for role, addresses in made["stages"].items()},
            state=made["state"],
            error=made["error"],
        )
        for of_study in attributes
        for name, made in of_study.items()
        if name.startswith(_PREFIX)
    }
