"""The sweeps of a file with many tasks on a cluster: one runs after another, so their times and costs add up."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from w2s_ray.planning.outlook import SIZES, ClusterPlan, Outlook, plan_on
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
        totals = {
            size.replace(" ", "_"): {
                "wall_seconds": round(sum(one.seconds for one in self._of(size)), 3),
                "cost": round(sum(one.cost for one in self._of(size)), 4),
            }
            for size in SIZES
        }
        return {
            "currency": self.currency,
            **totals,
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
            given = plan.outlooks["as given"]
            cells = (_cell(plan.outlooks[size].seconds, plan.outlooks[size].cost) for size in SIZES)
            table.add_row(name, *cells, f"{given.gpu_hours:.1f}", f"{given.resource} {given.utilization:.0%}")
        sums = (_cell(sum(o.seconds for o in self._of(size)), sum(o.cost for o in self._of(size))) for size in SIZES)
        table.add_row("in all", *sums, f"{sum(one.gpu_hours for one in self._of('as given')):.1f}")
        return table

    def _of(self, size: str) -> list[Outlook]:
        return [plan.outlooks[size] for plan in self.plans.values()]


def _cell(seconds: float, cost: float) -> str:
    return f"{in_time(seconds)}, {cost:.2f}"


def plan_all_on(several: Several, cluster: Cluster, but: Mapping[str, str]) -> SeveralOnCluster:
    """Schedules every sweep but those named in `but`, which cannot be laid out. Raises as `plan_on`."""
    plans = {
        sweep.name: plan_on(sweep, open_store(sweep.store), cluster)
        for sweep in several.sweeps
        if sweep.name not in but
    }
    return SeveralOnCluster(plans, cluster.currency)
