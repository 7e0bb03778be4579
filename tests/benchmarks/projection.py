"""Measures how long a finished sweep takes to project to MLflow, and MLflow's server to list its trials.

    python tests/benchmarks/projection.py [--trials 1000] [--limit-s 120] [--limit-list-s 3]

All stages are trivial: published with a curve, not trained, which is not timed. Projected are all runs with their data
sets, and the spec and the predictions as artifacts. The list is the request of the UI's table: the first 100 trials by
the objective, from a real `mlflow server` on the same sqlite file; the slowest of five. The limits are on wall-clock
seconds; the CPU's are shown beside, since they say the same on a busy machine. Exit code 1 if a limit is missed.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from trivial import fill, trivial_sweep

from w2s_ray.search.folder import load_record
from w2s_ray.stages.store import Store
from w2s_ray.tracking import Projection
from w2s_ray.tracking.ui import choose_port, ui_command, ui_environment, wait_until_up


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--limit-s", type=float, default=120.0)
    parser.add_argument("--limit-list-s", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sweep = trivial_sweep(Path(scratch) / "store", options.trials)
        fill(sweep)
        record, uri = load_record(Store(sweep.store), sweep), f"sqlite:///{scratch}/mlflow.db"
        projection = Projection(uri, sweep.name, record.history, (Path(scratch) / "artifacts").as_uri())
        projection.open()  # makes the tables
        start, start_cpu = time.perf_counter(), time.process_time()
        projection.update(record)
        projection.log_artifacts(record, None)
        projected, computed = time.perf_counter() - start, time.process_time() - start_cpu
        listed = _slowest_list(uri, Path(scratch))
    each = 1000 * projected / options.trials
    print(f"{options.trials} trials projected in {projected:.1f} s, {each:.1f} ms a trial; CPU {computed:.1f} s")
    print(f"the UI's list of trials in {listed:.2f} s")
    return int(projected > options.limit_s or listed > options.limit_list_s)


def _slowest_list(uri: str, artifacts: Path) -> float:
    """Starts a server and returns how long the slowest of five requests took, in seconds."""
    port = choose_port(None)
    url = f"http://127.0.0.1:{port}"
    command = ui_command(port, artifacts=str(artifacts))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=ui_environment(uri), start_new_session=True, **quiet)
    try:
        if not wait_until_up(url, 120, lambda: server.poll() is None):
            raise RuntimeError("the server did not start")
        return max(_list(url) for _ in range(5))
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _list(url: str) -> float:
    query = {
        "experiment_ids": ["1"],
        "filter": "tags.kind = 'trial'",
        "order_by": ["metrics.`validation_oracle` DESC"],
        "max_results": 100,
    }
    headers = {"Content-Type": "application/json"}
    address = f"{url}/api/2.0/mlflow/runs/search"
    start = time.perf_counter()
    request = urllib.request.Request(address, json.dumps(query).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["runs"], "nothing is listed"
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
