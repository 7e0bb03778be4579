"""One machine: its packages, limits, disks and devices. Every function here runs on each node of a cluster.

The numbers are those at which Ray or the system gives up: Ray warns below 4,096 open files and works in /tmp where
/dev/shm has no room for its object store; every thread counts as a process, and a Ray of two CPUs has about 1,000.
"""

import hashlib
import importlib.metadata
import math
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import w2s_ray
from w2s_ray.doctor.finding import Finding, ok, problem, warning
from w2s_ray.doctor.need import Need
from w2s_ray.units import in_bytes

_PACKAGES = ("ray", "torch", "optuna", "mlflow")
_MISSING = "missing"
_OPEN_FILES = 4096
_PROCESSES, _FEW_PROCESSES = 1000, 4000
_SCRATCH, _LITTLE_SCRATCH = 200 * 10**6, 2 * 10**9  # bytes for Ray's logs, sockets and spilled objects
_PIDS_MAX = ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max")
_SHARED_MEMORY = "/dev/shm"
_GPU_SECONDS = 30  # less than a check may take, by what the import of Ray before it takes on a busy machine
# In a process of its own: a device that hangs can then be left alone, and CUDA is not opened in a worker that stays.
_COUNT_GPUS = """
import torch
count = torch.cuda.device_count()
for index in range(count):
    torch.ones(8, device=f"cuda:{index}").sum().item()
print(count)
"""


def versions() -> dict[str, str]:
    """Returns what must be equal on all machines of a sweep; w2s_ray is known by the content of its files."""
    found = {"python": platform.python_version(), "w2s_ray": _content_of_package()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = _MISSING
    return found


def packages(need: Need) -> list[Finding]:
    """Whether the libraries that a sweep imports are installed."""
    found = versions()
    missing = [name for name, version in found.items() if version == _MISSING]
    if missing:
        mend = "install them into this Python: pip install -c constraints.txt . in w2s_ray's repository"
        return [problem("packages", f"{', '.join(missing)} not installed in {sys.prefix}", mend)]
    return [ok("packages", ", ".join(f"{name} {version}" for name, version in found.items()))]


def limits(need: Need) -> list[Finding]:
    """Whether the system lets a sweep open as many files and start as many processes as it does."""
    return [_open_files(), _processes()]


def temporary_disk(need: Need) -> list[Finding]:
    """Whether the disk of temporary files has room for Ray's logs, sockets and spilled objects."""
    folder = Path(need.temp or os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    says = f"{in_bytes(free)} free in {folder}"
    mend = "free some space there, or name another folder in RAY_TMPDIR (on a cluster: ray start --temp-dir)"
    if free < _SCRATCH:
        return [problem("temporary disk", says, mend)]
    return [warning("temporary disk", says, mend) if free < _LITTLE_SCRATCH else ok("temporary disk", says)]


def shared_memory(need: Need) -> list[Finding]:
    """Whether /dev/shm has room for Ray's object store."""
    if not Path(_SHARED_MEMORY).is_dir():
        return [ok("shared memory", f"this system has no {_SHARED_MEMORY}")]
    usage = shutil.disk_usage(_SHARED_MEMORY)
    says = f"{in_bytes(usage.free)} of {in_bytes(usage.total)} free in {_SHARED_MEMORY}"
    if usage.total < need.object_store or not usage.free:
        mend = "give the container more (docker --shm-size=1g; on Kubernetes an emptyDir of medium Memory)"
        says = f"{says}; Ray's object store of {in_bytes(need.object_store)} goes to a disk instead, which is slow"
        return [warning("shared memory", says, mend)]
    return [ok("shared memory", says)]


def gpus(need: Need) -> list[Finding]:
    """Whether torch can use the GPUs that Ray counts."""
    counted = rays_gpus() if need.gpus is None else need.gpus
    seen = _torchs_gpus()
    if seen is None:  # without a GPU it is the machine that was busy: torch takes long to be imported then
        says = f"torch did not say within {_GPU_SECONDS:g} s what GPUs it sees; Ray counts {counted:g}"
        return [(problem if counted else warning)("gpus", says, "see whether `nvidia-smi` answers, and look again")]
    mend = "install the torch that fits this machine's driver (`nvidia-smi` names it), or start Ray with --num-gpus=0"
    if isinstance(seen, str):
        return [problem("gpus", f"torch cannot use a GPU here: {seen}", mend)]
    says = f"torch sees {seen}, Ray counts {counted:g}"
    if seen < counted:
        return [problem("gpus", says, mend)]
    if seen > counted:
        return [warning("gpus", says, f"start Ray with --num-gpus={seen}, or leave it so if others use them")]
    return [ok("gpus", says)]


def rays_gpus() -> float:
    """Returns how many GPUs a Ray that is started on this machine would count."""
    from ray._private.accelerators import get_accelerator_manager_for_resource

    manager = get_accelerator_manager_for_resource("GPU")
    count, visible = manager.get_current_node_num_accelerators(), manager.get_current_process_visible_accelerator_ids()
    return float(count if visible is None else min(count, len(visible)))


@cache
def _content_of_package() -> str:
    digest, root = hashlib.sha256(), Path(w2s_ray.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return f"{digest.hexdigest()[:12]} (hash of its files)"


def _open_files() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # Ray raises the soft limit itself
    if hard == resource.RLIM_INFINITY or hard >= _OPEN_FILES:
        return ok("open files", "unlimited" if hard == resource.RLIM_INFINITY else f"up to {hard} a process")
    mend = (
        "raise it before Ray starts: ulimit -n 65536, or LimitNOFILE= of the service, or docker --ulimit nofile=65536"
    )
    return problem("open files", f"up to {hard} a process; Ray needs {_OPEN_FILES}", mend)


def _processes() -> Finding:
    limit = min(_rlimit_of_processes(), *map(_pids_max, _PIDS_MAX))
    if limit >= _FEW_PROCESSES:
        return ok("processes", "unlimited" if math.isinf(limit) else f"up to {limit:.0f}, threads included")
    mend = "raise it: ulimit -u 16384, docker --pids-limit=-1, or podPidsLimit of the kubelet"
    says = f"up to {limit:.0f}, threads included; Ray alone takes about {_PROCESSES}, and more with every CPU"
    return problem("processes", says, mend) if limit < _PROCESSES else warning("processes", says, mend)


def _rlimit_of_processes() -> float:
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    return math.inf if soft == resource.RLIM_INFINITY or os.geteuid() == 0 else soft  # the system does not bind root


def _pids_max(path: str) -> float:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except OSError:  # no such control group
        return math.inf
    return math.inf if text == "max" else float(text)


def _torchs_gpus() -> int | str | None:
    """Returns how many GPUs torch can use, or why it cannot; None if it does not answer."""
    command = [sys.executable, "-c", _COUNT_GPUS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GPU_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return int(done.stdout.split()[-1])
