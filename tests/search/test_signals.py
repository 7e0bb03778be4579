"""What a driver hears while Ray comes and goes."""

import subprocess
import sys

_DRIVER = """
import os, signal
from w2s_ray.search.driver import _ray
from w2s_ray.search.progress import Progress

signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
with _ray(Progress(), "w2s resume it"):
    os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_sigterm_is_the_drivers_while_ray_runs_and_after_it_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", _DRIVER], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["heard", "heard"]), done.stderr
