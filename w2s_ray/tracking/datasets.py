"""The data of a sweep as MLflow's inputs: one data set per split, named by its content.

Read from the examples that the sweep's models were trained on, so there are none before the first model is stored. The
digest is the address of the examples' stage, a hash over the data's bytes and how they are split: equal digests are
equal rows. The split is part of the name, since MLflow keeps one data set of a name and digest. They are inputs of the
sweep's run alone: its trials all read the same, and saying so in each costs MLflow a tenth of what a trial costs it.
"""

import json
from pathlib import Path

from w2s_ray.assets import is_local
from w2s_ray.search.record import SweepRecord
from w2s_ray.stages.store import StageRecord
from w2s_ray.tracking.planned import Dataset

SPLITS = ("weak", "student", "validation", "test")
_SCHEMA = json.dumps({"mlflow_colspec": [{"type": "string", "name": "text"}, {"type": "string", "name": "label"}]})


def datasets_of(record: SweepRecord) -> tuple[Dataset, ...]:
    """Returns a data set per split; none while no model or no examples are in the store."""
    examples = _examples(record)
    if examples is None:
        return ()
    source = record.sweep.task.source
    name = Path(source).stem if is_local(source) else source
    return tuple(
        Dataset(
            name=f"{name} {split}",
            digest=examples.address,
            context=split,
            source_type="local" if is_local(source) else "task",
            source=json.dumps({"uri": source, "content": examples.identity["settings"]["source"]}),
            schema=_SCHEMA,
            profile=json.dumps({"num_rows": examples.summary.get("splits", {}).get(split)}),
        )
        for split in SPLITS
    )


def _examples(record: SweepRecord) -> StageRecord | None:
    """Returns the record of the examples that the first model in the store was trained on."""
    addresses = (address for trial in record.trials for of_role in trial.stages.values() for address in of_role)
    model = next(filter(None, map(record.store.read, addresses)), None)
    address = model.record.identity["inputs"].get("examples") if model else None
    examples = record.store.read(address) if address else None
    return examples.record if examples else None
