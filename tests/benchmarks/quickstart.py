"""Times the quickstart: from the command to the report, twice, with the peak memory of the whole process tree.

    python tests/benchmarks/quickstart.py [SPEC] [--keep FOLDER]

The first run begins with an empty store and a filled asset cache, the second finds everything. Memory is the sum over
the tree of PSS (shared pages counted once), sampled four times a second. Stage overhead is stage time less the time of
training and predicting: it holds the writing of the stage's files.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from w2s_ray.stages.store import Store

ROOT = Path(__file__).parents[2]


def tree_memory(pid: int) -> int:
    """Returns the PSS of a process and all below it, in bytes."""
    total = 0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Runs a command; returns its seconds and its tree's peak memory in GB."""
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            try:
                peak[0] = max(peak[0], tree_memory(process.pid))
            except psutil.Error:
                return

    threading.Thread(target=watch, daemon=True).start()
    code = process.wait()
    seconds = time.monotonic() - start
    over.set()
    assert code == 0, f"{command} exited with {code}"
    return seconds, peak[0] / 1e9


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", default=str(ROOT / "sweeps" / "quickstart.yaml"))
    parser.add_argument("--keep", help="run in this folder and leave it")
    args = parser.parse_args()
    folder = Path(args.keep or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", "run", str(Path(args.spec).resolve())]
    for name in ("first run", "same again"):
        seconds, peak = timed(command, folder)
        print(f"{name:<12} {seconds:6.1f} s   peak {peak:.2f} GB")
    store = Store(folder / "w2s-runs")
    records = [store.get(path.name).record for path in (store.root / "stages").iterdir()]
    overhead = [r.seconds["stage"] - r.seconds["loop"] for r in records if r.kind == "finetune"]
    starts = [json.loads(line)["address"] for path in store.root.glob("sweeps/*/starts.jsonl") for line in path.open()]
    print(f"trainings    {len(overhead)}; stages started {len(starts)}, distinct {len(set(starts))}")
    print(f"overhead of a warm one-worker stage: median {statistics.median(overhead) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
