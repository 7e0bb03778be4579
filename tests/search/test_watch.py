"""A Ray that hangs does not keep its driver."""

import subprocess
import sys
import time
from contextlib import suppress

import psutil

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
from w2s_ray.search import session
from w2s_ray.search.progress import Progress

session._LIMIT_SECONDS = 20.0
with session.ray_session(Progress(), "w2s resume it"):
    print("started", flush=True)
"""


def test_a_driver_whose_raylet_stands_still_while_it_starts_gives_up_having_said_how_to_carry_on() -> None:
    driver = psutil.Popen([sys.executable, "-c", _DRIVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _raylet_of(driver).suspend()
        out, said = driver.communicate(timeout=60)
    finally:
        with suppress(psutil.NoSuchProcess):
            driver.kill()
    assert (driver.returncode, out) == (1, ""), said
    assert "w2s resume it carries on" in said
    assert "Timeout" in said


def _raylet_of(driver: psutil.Popen) -> psutil.Process:
    while driver.poll() is None:
        with suppress(psutil.Error):
            for one in driver.children(recursive=True):
                if one.name() == "raylet":
                    return one
        time.sleep(0.01)
    raise AssertionError(driver.stderr.read())
