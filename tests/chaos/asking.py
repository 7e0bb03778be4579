"""Run by tests on a cluster: asks a broker for one student and waits. No Tune, no MLflow, no report.

python asking.py SPEC PARAMS, with a spec in YAML and a student's parameters in JSON; RAY_ADDRESS names the cluster.
"""

import json
import sys
from pathlib import Path

import ray

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.spec import Sweep, yaml
from w2s_ray.stages.broker import start_broker
from w2s_ray.stages.open import open_store
from w2s_ray.stages.stage import Stage


def student_of(sweep: Sweep, params: dict[str, float]) -> Stage:
    """Returns the student of a sweep's first pairing and seed."""
    experiment = Experiment(0, sweep.pairings[0].name, "naive", params, default=True)
    return stages_of(Parts(sweep), experiment)["student"][0]


def main(spec: str, params: str) -> None:
    sweep = yaml.load(Path(spec))
    ray.init(log_to_driver=False, logging_level="ERROR")
    broker = start_broker(open_store(sweep.store), sweep.name)
    ray.get(broker.produce.remote(student_of(sweep, json.loads(params)), 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
