"""What a driver hears while Ray comes and goes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.search.session import _init
from w2s_ray.search.signals import orderly_interrupts

_DRIVER = """
import os, signal
from w2s_ray.search.session import ray_session
from w2s_ray.search.progress import Progress

signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
with ray_session(Progress(), "w2s resume it"):
    os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_sigterm_is_the_drivers_while_ray_runs_and_after_it_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", _DRIVER], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["heard", "heard"]), done.stderr


class _Starting:
    """Ray while it starts: it answers SIGTERM itself, with an exit."""

    def init(self, *_: str, **__: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


def test_a_sigterm_that_ray_answers_is_said_and_begins_the_time_for_leaving() -> None:
    said = list[str]()
    with pytest.raises(KeyboardInterrupt), orderly_interrupts(lambda: said.append("stopping")) as leaving:
        _init(_Starting(), "local", {})
    assert said == ["stopping"]
    assert leaving.seconds(60) < 60


_IMPORTER = """
import os, signal, sys
from pathlib import Path
from w2s_ray.search.signals import orderly_interrupts

code = "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.3); whole = True"
Path("torn.py").write_text(code)
sys.path.insert(0, "")
try:
    with orderly_interrupts(lambda: print("heard", flush=True)):
        try:
            import torn
        finally:
            print("whole" if "torn" in globals() and torn.whole else "torn", flush=True)
        signal.pause()
except KeyboardInterrupt:
    print("left", flush=True)
"""


def test_a_sigterm_waits_for_the_import_that_it_meets(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTER], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout.split()) == (0, ["whole", "heard", "left"]), done.stderr


_LOSER = """
import os, signal, time
from w2s_ray.search.signals import orderly_interrupts

class Handle:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

try:
    with orderly_interrupts(lambda: print("heard", flush=True)):
        handle = Handle()
        del handle
        print("lost", flush=True)
        time.sleep(20)
        print("went on", flush=True)
except KeyboardInterrupt:
    print("left", flush=True)
"""


def test_an_interrupt_that_python_throws_away_comes_again() -> None:
    done = subprocess.run([sys.executable, "-c", _LOSER], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["heard", "lost", "left"]), done.stderr


_SLOW = """
import os, signal, time
from w2s_ray.search.signals import orderly_interrupts

with orderly_interrupts(lambda: None, patience=4.0) as leaving:
    assert leaving.seconds(60) == 60
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
    finally:
        print(0 < leaving.seconds(60) <= 2, leaving.seconds(60, then=2), leaving.seconds(0.01), flush=True)
        time.sleep(40)
        print("still there", flush=True)
"""


def test_all_that_an_orderly_end_takes_has_one_deadline_and_then_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", _SLOW], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (130, ["True", "0.0", "0.01"]), done.stderr
    assert done.stderr == "w2s: this took too long, and ends here; what was saved by now is kept\n"
