"""Measures what each kind of probe costs per seed on frozen features that are stored, as a Markdown table.

    python tests/benchmarks/probes.py [--store FOLDER] [--repeats 5] [--limit-s 1]

A student of 3,000 movie reviews (validation 1,500, test 3,382) on the 384 features of minilm after layer 5, with soft
labels of minilm after layer 0; the inputs are made first, or found in `--store`. A row is one stage as a worker makes
it, once warm: read the inputs, fit, predict, write and publish. One thread, as a stage has by default, so that two of
them run at once on two cores; CPU seconds are the process's and say what the wall clock would on a quiet machine.
Medians. The probe that lp-ft begins with is the row `logistic`. Exit code 1 if one takes more CPU than the limit.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.spec import Model, Sweep, replace, yaml
from w2s_ray.spec.method import DEFAULTS
from w2s_ray.spec.training import LOSSES
from w2s_ray.stages.finetune import train_alone
from w2s_ray.stages.run import _examples, _features, _relabel
from w2s_ray.stages.stage import ExtractFeatures, LoadExamples, Relabel, Stage
from w2s_ray.stages.store import Store

SPEC = Path(__file__).parents[2] / "sweeps" / "offline_labels.yaml"
LABELS: dict[str, dict[str, Any]] = {
    "`labels.probe: knn-filter`": {"labels.probe": "knn-filter"},
    "`labels.probe: knn-relabel`": {"labels.probe": "knn-relabel"},
    "`labels.probe: logistic-filter`": {"labels.probe": "logistic-filter"},
    "`labels.probe: logistic-relabel`": {"labels.probe": "logistic-relabel"},
    "`labels.errors: random`": {"labels.errors": "random"},
    "`labels.temperature`": {"labels.temperature": 2.0},
    "`labels.keep`": {"labels.keep": 0.5},
    "`labels.harden`": {"labels.harden": True},
}
METHODS = ["naive", "confidence", *(name for name in LOSSES if name not in ("cross-entropy", "confidence"))]


def stages(sweep: Sweep) -> Iterator[tuple[str, Stage]]:
    """Yields what is measured by its name in the table, the first seed of each."""
    for method in METHODS:
        yield f"`{method}`, `train: head`", made(sweep, method)["student"]
    yield "`naive`, `train: head`, `select: weak`, `ema`", made(sweep, "naive", select="weak", ema=0.9)["student"]
    for train in ("logistic", "knn"):
        strong = Model(source="minilm", depth=5, train=train)
        other = replace(sweep, methods={"naive": {}}, models={**sweep.models, "minilm-5": strong})
        yield f"`naive`, `train: {train}`", made(other, "naive")["student"]
    for name, params in LABELS.items():
        yield name, made(sweep, "naive", **params)["student"].inputs["labels"]


def made(sweep: Sweep, method: str, **params: Any) -> dict[str, Stage]:
    """Returns the stages of the first seed."""
    experiment = Experiment(0, sweep.pairings[0].name, method, {**DEFAULTS[method], **params}, default=False)
    return {role: of_role[0] for role, of_role in stages_of(Parts(sweep), experiment).items()}


def make(stage: Stage, store: Store) -> None:
    """Makes one stage, whose inputs are stored, as the Ray task does."""
    if isinstance(stage.settings, LoadExamples):
        _examples(stage, stage.settings, store, "probes")
    elif isinstance(stage.settings, ExtractFeatures):
        _features([stage], store, "probes")
    elif isinstance(stage.settings, Relabel):
        _relabel(stage, store, "probes")
    else:
        trained = train_alone(stage, store)
        with store.publish(stage, "probes") as draft:
            trained.write(draft.path)


def make_inputs(stage: Stage, store: Store) -> None:
    """Makes all that a stage reads."""
    for needed in stage.inputs.values():
        if not store.has(needed.address):
            make_inputs(needed, store)
            make(needed, store)


def timed(stage: Stage, store: Store, repeats: int) -> tuple[float, float]:
    """Makes a stage once to be warm, then `repeats` times; returns the medians of wall and CPU seconds."""
    wall, cpu = [], []
    for _ in range(repeats + 1):
        with tempfile.TemporaryDirectory(dir=store.root) as scratch:
            place = Store(scratch)
            (place.root / "stages").mkdir()
            for needed in stage.inputs.values():
                (place.root / "stages" / needed.address).symlink_to(store.place(needed.address))
            start, spent = time.monotonic(), time.process_time()
            make(stage, place)
            wall.append(time.monotonic() - start)
            cpu.append(time.process_time() - spent)
    return statistics.median(wall[1:]), statistics.median(cpu[1:])


def main() -> int:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="keep the inputs in this folder, or find them there")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-s", type=float, default=1.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)  # of NumPy's BLAS; Ray says so to a task of one CPU
    slow = []
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(options.store or scratch)
        store.make()
        print("| stage | wall s | CPU s |\n|---|--:|--:|")
        for name, stage in stages(yaml.load(SPEC)):
            make_inputs(stage, store)
            wall, cpu = timed(stage, store, options.repeats)
            print(f"| {name} | {wall:.2f} | {cpu:.2f} |", flush=True)
            slow += [name] if cpu > options.limit_s else []
    print(f"more than {options.limit_s:g} s of CPU: {', '.join(slow)}" if slow else "", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
