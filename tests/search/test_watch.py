"""A Ray that hangs does not keep its driver."""

import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from w2s_ray.search.progress import Progress
from w2s_ray.search.session import RayStartError, ray_session

_HOLDER = """
import ctypes
from w2s_ray.search.watch import limited

with limited(60):
    print("in time", flush=True)
with limited(0.5):
    ctypes.PyDLL(None).sleep(60)  # which keeps Python's lock, so that no other thread of Python runs
"""


def test_what_takes_too_long_ends_the_process_also_where_no_other_thread_can_run() -> None:
    done = subprocess.run([sys.executable, "-c", _HOLDER], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "in time\n"), done.stderr
    assert "Timeout" in done.stderr


_DRIVER = """
from w2s_ray.search import session, watch
from w2s_ray.search.progress import Progress

session._LIMIT_SECONDS, watch._START_SECONDS = {limits}
with session.ray_session(Progress(), "w2s resume it"):
    print("started", flush=True)
"""


def test_a_driver_whose_raylet_dies_while_it_starts_says_at_once_what_died_and_how_to_carry_on() -> None:
    code, out, said = _hit("kill", limits=(1000, 1000))
    assert (code, out) == (1, ""), said
    assert "Ray's process raylet ended" in said
    assert said.count("w2s resume it") == 2
    assert "did not start" not in said  # as Ray says it after half a minute


@pytest.mark.parametrize(("limits", "words"), [((1000, 28), "Carry on with: w2s resume it"), ((28, 1000), "Timeout")])
def test_a_driver_whose_raylet_stands_still_while_it_starts_gives_up(limits: tuple[int, int], words: str) -> None:
    code, out, said = _hit("suspend", limits)
    assert (code, out) == (1, ""), said
    assert "w2s resume it carries on" in said
    assert words in said


_AFTER_ANOTHER = """
import os, subprocess, time
from w2s_ray.search import watch

watch._LOOK_AT_START_SECONDS, watch._RAYS_OWN_SECONDS = 0.01, 0.1
old = subprocess.Popen(["./raylet", "60"])
old.kill()
time.sleep(0.2)
with watch.watched(lambda why: os._exit(1)):
    time.sleep(1)
"""


def test_a_raylet_that_ended_before_is_not_taken_for_the_one_that_starts(tmp_path: Path) -> None:
    shutil.copy(str(shutil.which("sleep")), tmp_path / "raylet")
    subprocess.run([sys.executable, "-c", _AFTER_ANOTHER], timeout=60, check=True, cwd=tmp_path)


def test_the_address_of_a_client_outside_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(RayStartError, match="w2s submit"), ray_session(Progress(), "w2s resume it"):
        pass


def _hit(act: str, limits: tuple[int, int]) -> tuple[int, str, str]:
    """Does that to the raylet as soon as a driver has started it; returns the driver's end and what it said."""
    command = [sys.executable, "-c", _DRIVER.format(limits=limits)]
    driver = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        getattr(_raylet_of(driver), act)()
        out, said = driver.communicate(timeout=60)
    finally:
        with suppress(psutil.NoSuchProcess):
            driver.kill()
    return driver.returncode, out, said


def _raylet_of(driver: psutil.Popen) -> psutil.Process:
    while driver.poll() is None:
        with suppress(psutil.Error):
            for one in driver.children(recursive=True):
                if one.name() == "raylet":
                    return one
        time.sleep(0.01)
    raise AssertionError(driver.stderr.read())
