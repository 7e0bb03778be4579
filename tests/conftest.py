"""What tests of several rooms share: one Ray for the whole run, and a small real sweep."""

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from w2s_ray.spec import Sweep

# The same examples in every run, so that a red test is the change's fault; W2S_EXPLORE=1 looks for new ones.
settings.register_profile("w2s", derandomize=not os.environ.get("W2S_EXPLORE"), deadline=None)
settings.load_profile("w2s")

# Before anything imports torch: two threads that share a small model and a busy core take 40 times the CPU of one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Seconds in which a node of Ray must be up, instead of 30: other tests may keep the machine busy.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "240")
# Ray puts its workers behind all other processes, and so behind the tests that another process runs.
os.environ.setdefault("RAY_worker_niceness", "0")

SMALL: dict[str, Any] = {
    "name": "small",
    "task": {"source": "movie-reviews", "splits": {"weak": 100, "student": 200, "validation": 100, "test": 200}},
    "models": {
        f"minilm-{depth}": {
            "source": "minilm",
            "depth": depth,
            "max_length": 32,
            "baseline": {"lr": 1e-3, "epochs": 2, "eval_every": 2},
        }
        for depth in (0, 1)
    },
    "pairings": [{"weak": "minilm-0", "strong": "minilm-1"}],
    "methods": ["naive", "confidence"],
    "space": {"lr": {"log_uniform": [2e-4, 1e-2]}, "epochs": {"int": [1, 4]}},
    "seeds": [0, 1],
    "search": {"trials": 4, "parallelism": 2},
}

# What takes minutes with few tests. Begun late, one of them runs on while the other processes have no more to do.
LONGEST = ("tests/cluster", "tests/test_sweep.py", "tests/test_worked_pgr.py", "tests/stages/test_broker.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Says which tests one process runs in one go, where several share them (`-n`).

    Those of a file, which share what it made. Each of `chaos` by itself: they are the longest, and what they share is
    kept for all processes. All of `cluster`: two heads give their workers the same ports. First come `LONGEST`, then
    the files with most tests.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _assign_work_unit(self, node: Any) -> None:
            for scope in reversed(LONGEST):
                if scope in self.workqueue:
                    self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/cluster/"):
                return "tests/cluster"
            return nodeid if nodeid.startswith("tests/chaos/") else str(super()._split_scope(nodeid))

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def small_data() -> dict[str, Any]:
    """What `small` is made of, for those who want it in another store."""
    return SMALL


@pytest.fixture
def small(tmp_path: Path) -> Sweep:
    """A sweep over real reviews and a real model that trains in seconds, with a store of its own."""
    return Sweep.model_validate({**SMALL, "store": str(tmp_path / "store")})


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reduced quickstart was run and nobody touched it: once, also where several processes share the tests.

    It takes 41 CPU seconds. Nobody may change it; `finished` of tests/chaos is a copy.
    """
    from chaos.harness import left_alone

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "alone", shared / "alone.done"
    with FileLock(shared / "alone.lock"):
        if not done.exists():
            left_alone(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random decoder that has a language model head, and a tokenizer of whole words."""
    import torch
    from making import save_word_tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("decoder")
    words = ["zero", "[UNK]", "<eos>", "0", "1", "Answer", ":", "Respond", "with", "good", "bad", "film", "very"]
    save_word_tokenizer(folder, words)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 13}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """A Ray of two CPUs on this machine."""
    import ray

    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a real file system of a size such as `64k` in the test's folder, and takes it away after the test."""
    folders: list[Path] = []

    def mount(size: str, name: str = "disk") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        if folder.is_mount():
            subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def s3() -> Iterator[int]:
    """The port of a server that speaks S3."""
    from buckets import serving

    with serving() as port:
        yield port
