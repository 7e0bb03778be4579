"""The sweeps of a file with many tasks on a cluster: one runs after another, so their times and costs add up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from w2s_ray.planning.outlook import SIZES, UNENDING, ClusterPlan, Outlook, plan_on
from w2s_ray.spec.cluster import Cluster
from w2s_ray.spec.several import Several
from w2s_ray.stages.open import open_store
from w2s_ray.units import in_time


@dataclass(frozen=True)
class SeveralOnCluster:
    """The plan of each sweep that could be laid out, by its name; what is missing to others the plan itself says."""

    plans: Mapping[str, ClusterPlan]
    currency: str

    def to_json(self) -> dict[str, object]:
        """Returns the stable form of the key `cluster` of `w2s plan --cluster --json`."""
        return {
            "currency": self.currency,
            **{size.replace(" ", "_"): self._total_json(size) for size in SIZES},
            "sweeps": {name: one.to_json() for name, one in self.plans.items()},
        }

    def to_table(self) -> Table:
        """Returns a row for each sweep, and the sums."""
        heads = [f"{size}, {self.currency}" for size in SIZES]
        table = Table("", *heads, "GPU-hours", "used", box=None, pad_edge=False)
        for column in table.columns:
            column.no_wrap = column is table.columns[0]
            column.justify = "left" if column.no_wrap else "right"
        for name, plan in self.plans.items():
            given = plan.outlooks.get("as given")
            more = (f"{given.gpu_hours:.1f}", f"{given.resource} {given.utilization:.0%}") if given else ()
            table.add_row(name, *(_cell([plan.outlooks.get(size)]) for size in SIZES), *more)
        known = [one for one in self._of("as given") if one]
        table.add_row("in all", *(_cell(self._of(size)) for size in SIZES), f"{sum(o.gpu_hours for o in known):.1f}")
        return table

    def problems_text(self) -> str:
        """Returns a line for each sweep and size on which it does not end; empty if there is none."""
        return "\n".join(
            f"{name}, {size}: {problem}" for name, plan in self.plans.items() for size, problem in plan.problems.items()
        )

    def _total_json(self, size: str) -> dict[str, object]:
        if not all(self._of(size)):
            return {"problem": UNENDING}
        seconds, cost = _sums(self._of(size))
        return {"wall_seconds": round(seconds, 3), "cost": round(cost, 4)}

    def _of(self, size: str) -> list[Outlook | None]:
        return [plan.outlooks.get(size) for plan in self.plans.values()]


def _sums(several: Sequence[Outlook | None]) -> tuple[float, float]:
    known = [one for one in several if one]
    return sum(one.seconds for one in known), sum(one.cost for one in known)


def _cell(several: Sequence[Outlook | None]) -> str:
    if not all(several):
        return UNENDING
    seconds, cost = _sums(several)
    return f"{in_time(seconds)}, {cost:.2f}"


def plan_all_on(several: Several, cluster: Cluster, but: Mapping[str, str]) -> SeveralOnCluster:
    """Schedules every sweep but those named in `but`, which cannot be laid out. Raises as `plan_on`."""
    plans = {
        sweep.name: plan_on(sweep, open_store(sweep.store), cluster)
        for sweep in several.sweeps
        if sweep.name not in but
    }
    return SeveralOnCluster(plans, cluster.currency)
