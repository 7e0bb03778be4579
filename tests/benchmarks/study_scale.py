"""Measures what one more trial costs the driver at 5,000 trials, and by how much its memory has grown by then.

    python tests/benchmarks/study_scale.py [--trials 5000] [--limit-ms 30] [--limit-mb 50] [--storage URL]

All stages are trivial: published, not trained, which is not timed. What is timed is what the driver does for each trial
of one pairing, which is the hardest case for the sampler: ask, tell, and its share in a projection to a real sqlite
file of MLflow, of as many trials at once as end within the tracker's pause of 3 s. Memory is the driver's part alone:
study, records, projection; what Tune keeps of its trials is not in it. The study is a journal, or with --storage in a
database, where a trial costs more: the limits are the journal's. Wall and CPU milliseconds, since
a shared machine stretches the first; exit code 1 if a limit is missed by CPU time or memory.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from trivial import outcome, publish, trivial_sweep

from w2s_ray.methods import Experiment, Parts
from w2s_ray.search.folder import LiveRecord, save_spec, study_place
from w2s_ray.search.study import Study
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages.store import Store
from w2s_ray.tracking import Projection

_AT_ONCE = 100  # trials that end within the tracker's pause of 3 s, at the limit of 30 ms
_FIRST = 100  # memory is compared with that after so many


class Watch:
    """Adds up wall and CPU seconds by name."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds what the block takes."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        sums = self.spent.setdefault(name, [0.0, 0.0])
        sums[0] += time.perf_counter() - wall
        sums[1] += time.process_time() - cpu


class Driver:
    """The parts of a driver that see every trial, without Ray."""

    def __init__(self, sweep: Sweep, uri: str) -> None:
        self.store, self.parts = Store(sweep.store), Parts(sweep)
        save_spec(self.store, sweep)
        self.study = Study(self.parts, study_place(self.store, sweep.name, sweep.search.storage))
        self.live = LiveRecord(self.study, self.store)
        self.projection = Projection(uri, sweep.name, self.study.history)

    def run(self, watch: Watch, at_once: int = _AT_ONCE) -> None:
        """Runs the study to its budget."""
        waiting: list[Experiment] = []
        ended = 0
        while not self.study.finished:
            while True:
                with watch("ask"):
                    experiment = self.study.ask()
                if experiment is None:
                    break
                publish(self.parts, self.store, experiment)
                waiting.append(experiment)
            first = waiting.pop(0)
            with watch("tell"):
                self.study.tell(first.number, outcome(first))
            ended += 1
            if ended % at_once == 0 or self.study.finished:
                with watch("project"):
                    self.projection.update(self.live.now())


def megabytes() -> float:
    """Returns this process's memory."""
    gc.collect()
    return float(psutil.Process().memory_info().rss / 2**20)


def main() -> int:
    """Prints the figures of the last trials, and the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=1, help="students of each trial")
    parser.add_argument("--limit-ms", type=float, default=30.0)
    parser.add_argument("--limit-mb", type=float, default=50.0)
    parser.add_argument("--folder", type=Path, help="where the store is made; on a real disk, waiting for it counts")
    parser.add_argument("--storage", help="URL of a database for the study; sqlite stands for a file beside the store")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        whole = replace(trivial_sweep(Path(scratch) / "store", options.trials), seeds=tuple(range(options.seeds)))
        storage = f"sqlite:///{scratch}/study.db" if options.storage == "sqlite" else options.storage
        whole = replace(whole, search=replace(whole.search, storage=storage))
        uri = f"sqlite:///{scratch}/mlflow.db"
        growth = _fill(whole, uri)
        watch = Watch()
        more = replace(whole, search=replace(whole.search, trials=options.trials + _AT_ONCE))
        driver = Driver(more, uri)
        driver.projection.update(driver.live.now())  # looks up what is there, once in a driver's life
        driver.run(watch)
    print(f"{'at ' + str(options.trials) + ' trials':<16} wall ms  CPU ms   a trial")
    for name, (wall, cpu) in watch.spent.items():
        print(f"{name:<16} {1000 * wall / _AT_ONCE:7.1f} {1000 * cpu / _AT_ONCE:7.1f}")
    total = sum(cpu for _, cpu in watch.spent.values()) * 1000 / _AT_ONCE
    print(f"{'all':<16} {sum(wall for wall, _ in watch.spent.values()) * 1000 / _AT_ONCE:7.1f} {total:7.1f}")
    print(f"memory grew by {growth:.0f} MB from trial {_FIRST} to trial {options.trials}")
    return int(total > options.limit_ms or growth > options.limit_mb)


def _fill(sweep: Sweep, uri: str) -> float:
    """Runs the sweep with random proposals, which are quick; returns by how much memory grew after the first trials."""
    before = 0.0
    for trials in (_FIRST, sweep.search.trials):
        search = replace(sweep.search, trials=trials, sampler="random")
        driver = Driver(replace(sweep, search=search), uri)
        driver.run(Watch(), at_once=1000)
        before = before or megabytes()
    return megabytes() - before


if __name__ == "__main__":
    raise SystemExit(main())
