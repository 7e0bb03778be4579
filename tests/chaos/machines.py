"""Machines that are network namespaces of this one: each has an address and ports of its own, and a cable to a switch.

All have one disk and one clock, as machines with a shared mount do. A cable that is pulled drops packets without a
word, which is what a real network does and what a killed process does not. Everything lies in the namespaces, the
switch as well, so nothing is left when they are removed, and the network of this machine is never touched.
"""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from harness import MARK, is_of_kind

_OBJECTS = 100 * 2**20  # bytes of object store, which stays all but empty
_START_SECONDS = 180


@dataclass(frozen=True)
class Machine:
    """A namespace `name`, whose cable ends at the switch in the port of the same name."""

    name: str
    address: str
    switch: str
    folder: Path
    mark: str

    def command(self, *command: str) -> list[str]:
        """Returns what runs `command` on this machine."""
        return ["ip", "netns", "exec", self.name, *command]

    def start_ray(self, *options: str) -> None:
        """Starts a head or a node, whose processes stay when this returns."""
        ray = str(Path(sys.executable).with_name("ray"))
        fixed = [f"--node-ip-address={self.address}", f"--object-store-memory={_OBJECTS}", "--disable-usage-stats"]
        command = self.command(sys.executable, ray, "start", *options, *fixed)
        with (self.folder / f"{self.name}.log").open("w+", encoding="utf-8") as log:  # its processes keep it open
            done = subprocess.run(
                command,
                env={**os.environ, MARK: self.mark},
                stdout=log,
                stderr=log,
                timeout=_START_SECONDS,
                check=False,
            )
            log.seek(0)
            assert done.returncode == 0, log.read()

    def has_ray(self) -> bool:
        return any(process.name() == "raylet" for process in self.processes())

    def works(self) -> bool:
        """Whether a stage runs on it."""
        return any(is_of_kind(process, "worker") for process in self.processes())

    def pull_cable(self) -> None:
        """Takes it off the network: what it sends, and what is sent to it, is lost."""
        _ip("-n", self.switch, "link", "set", self.name, "down")

    def plug_in(self) -> None:
        """Ends what `pull_cable` began."""
        _ip("-n", self.switch, "link", "set", self.name, "up")

    def processes(self) -> list[psutil.Process]:
        found = []
        for pid in _ip("netns", "pids", self.name).split():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(pid)))
        return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    def lose_power(self) -> None:
        """Kills every process on it."""
        while processes := self.processes():
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.1)


@contextmanager
def machines(folder: Path, mark: str, count: int) -> Iterator[list[Machine]]:
    """Gives `count` machines on one switch; skips the test where this user may make no namespaces.

    Args:
        folder: where what Ray says on them is kept.
        mark: of all their processes.
        count: of machines.
    """
    switch = f"w2s-{uuid.uuid4().hex[:6]}"
    made = [Machine(f"{switch}-{n}", f"10.77.0.{n}", switch, folder, mark) for n in range(1, count + 1)]
    try:
        _build(switch, made)
        yield made
    finally:
        there = _ip("netns", "list").split() if shutil.which("ip") else []
        for machine in made:
            if machine.name in there:
                machine.lose_power()
        for name in {switch, *(machine.name for machine in made)}.intersection(there):
            _ip("netns", "del", name)


def _build(switch: str, made: list[Machine]) -> None:
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces are not permitted here: {getattr(error, 'stderr', None) or error}")
    _ip("-n", switch, "link", "set", "bridge", "up")
    for machine in made:
        _ip("netns", "add", machine.name)
        _ip("-n", switch, "link", "add", machine.name, "type", "veth", "peer", "name", "cable", "netns", machine.name)
        _ip("-n", switch, "link", "set", machine.name, "master", "bridge", "up")
        _ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", "cable")
        _ip("-n", machine.name, "link", "set", "cable", "up")
        _ip("-n", machine.name, "link", "set", "lo", "up")


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
