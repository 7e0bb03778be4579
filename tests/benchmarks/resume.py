"""Times the resume decision: from the command to the first trial asked, less Ray's own start.

    python tests/benchmarks/resume.py [--trials 1000] [--limit 5]

A study of so many finished trials and all their stages are made first; then a new process does what `w2s resume NAME`
does before it starts Ray: imports, spec, journal, plan, first trial. Wall and CPU seconds of each; exit code 1 if the
wall time of all is above the limit.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_spent: list[float] = []


@contextmanager
def step(name: str) -> Iterator[None]:
    """Prints what the block took."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    _spent.append(time.perf_counter() - wall)
    print(f"{name:<24} {_spent[-1]:6.2f} s wall {time.process_time() - cpu:6.2f} s CPU", flush=True)


def resume(store_folder: Path, trials: int) -> None:
    """Does what a driver does until it has its first trial."""
    with step("imports"):
        from w2s_ray.methods import Parts
        from w2s_ray.search import driver
        from w2s_ray.search.beginning import begin
        from w2s_ray.search.folder import load_spec
        from w2s_ray.search.lease import lease
        from w2s_ray.search.plan import make_plan
        from w2s_ray.search.progress import Progress
        from w2s_ray.spec import replace
        from w2s_ray.stages.store import Store
    store = Store(store_folder)
    with lease(store, "trivial"):
        with step("spec"):
            sweep = load_spec(store, "trivial")
            sweep = replace(sweep, search=replace(sweep.search, trials=trials + 100))
        parts = Parts(sweep)
        with step("open the study"):
            study = begin(parts, store, Progress(), None, lambda: None)
        with step("plan"):
            make_plan(sweep, store)
        with step("assets that are missing"):
            driver._fetch_assets(parts, store)
        with step("first ask"):
            asked = study.ask()
    assert asked is not None, "nothing is left to ask"
    print(f"{'command to first trial':<24} {sum(_spent):6.2f} s wall {time.process_time():6.2f} s CPU")


def main() -> int:
    """Makes the study, then times a new process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--limit", type=float, default=5.0, help="seconds")
    parser.add_argument("--store", type=Path, help="use the study in this folder, or make it there, and keep it")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        resume(options.store, options.trials)
        return int(sum(_spent) > options.limit)
    from trivial import fill, trivial_sweep

    with tempfile.TemporaryDirectory() as scratch:
        store = options.store or Path(scratch)
        if not (store / "sweeps").exists():
            fill(trivial_sweep(store, options.trials))
        child = [sys.executable, __file__, "--child", "--store", str(store)]
        return subprocess.call([*child, "--trials", str(options.trials), "--limit", str(options.limit)])


if __name__ == "__main__":
    raise SystemExit(main())
