"""What a driver hears while Ray comes and goes."""

import subprocess
import sys
from pathlib import Path

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
