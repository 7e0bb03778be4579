"""Measures by how much a real driver's memory grows over thousands of trials, Ray Tune's own part included.

    python tests/benchmarks/driver_memory.py [--trials 5000] [--limit-mb 50]

`w2s run` itself, with Ray and MLflow, on trials that train a head on forty sentences for one epoch. Proposals are
random, since what the sampler costs is measured by study_scale.py. Memory is the driver's resident set without its
children, read whenever another hundred students have been started; exit code 1 if it grew by more than the limit from
trial 100 to the last.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil
from trivial import HEAD, SPEC

from w2s_ray.spec import Sweep, yaml

_FIRST = 100  # memory is compared with that after so many
_POLL_SECONDS = 0.5


def sweep_of(trials: int, store: Path) -> Sweep:
    """Returns a sweep of so many trials of one student each."""
    changes = {
        "models": {name: {**model, "baseline": {**HEAD, "epochs": 1}} for name, model in SPEC["models"].items()},
        "methods": ["naive"],
        "space": {"lr": {"log_uniform": [1e-4, 1e-2]}},
        "seeds": [0],
        "search": {"trials": trials, "sampler": "random", "parallelism": 1},
    }
    return Sweep.model_validate({**SPEC, **changes, "store": str(store)})


def started(store: Path) -> int:
    """Returns how many students have been started."""
    path = store / "sweeps" / SPEC["name"] / "starts.jsonl"
    return path.read_bytes().count(b'"student ') if path.exists() else 0


def main() -> int:
    """Prints a row for each hundred trials, and the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--limit-mb", type=float, default=50.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        spec, store = Path(scratch) / "spec.yaml", Path(scratch) / "store"
        spec.write_text(yaml.dump(sweep_of(options.trials, store)), encoding="utf-8")
        command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", "run", str(spec)]
        with (Path(scratch) / "out").open("w") as out:
            driver = psutil.Popen(command, stdout=out, stderr=out)
            grown = _watched(driver, store, options.trials)
        if driver.wait():
            print((Path(scratch) / "out").read_text(encoding="utf-8")[-2000:])
            return 1
    print(f"memory grew by {grown:.0f} MB from trial {_FIRST} to trial {options.trials}")
    return int(grown > options.limit_mb)


def _watched(driver: psutil.Popen, store: Path, trials: int) -> float:
    """Prints the memory at each hundred trials; returns the growth from the first of them to the last."""
    sizes: list[float] = []
    begun = time.monotonic()
    print(f"{'trials':>8} {'MB':>7} {'s':>7}")
    while driver.poll() is None:
        count = started(store)
        if count >= _FIRST * (len(sizes) + 1) and count <= trials:
            sizes.append(driver.memory_info().rss / 2**20)
            print(f"{count:>8} {sizes[-1]:7.1f} {time.monotonic() - begun:7.0f}", flush=True)
        time.sleep(_POLL_SECONDS)
    return sizes[-1] - sizes[0] if sizes else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
