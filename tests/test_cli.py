"""The command line as people and scripts meet it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from w2s_ray.search.folder import save_spec
from w2s_ray.search.known_stores import remember
from w2s_ray.spec import yaml
from w2s_ray.stages.store import Store

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "sweeps" / "quickstart.yaml"

FROZEN_OPTIONS = {
    "plan": {"--store", "--trials", "--cluster", "--json", "--help"},
    "run": {"--store", "--trials", "--warm-start", "--take-over", "--help"},
    "resume": {"--store", "--trials", "--take-over", "--address", "--insecure", "--help"},
    "status": {"--store", "--json", "--address", "--insecure", "--seen-from", "--help"},  # the last but one is hidden
    "ls": {"--store", "--json", "--help"},
    "submit": {"--address", "--store", "--trials", "--follow", "--driver-on", "--take-over", "--insecure", "--help"},
    "doctor": {"--store", "--address", "--cluster", "--insecure", "--json", "--help"},
    "logs": {"--address", "--follow", "--insecure", "--help"},
    "stop": {"--address", "--insecure", "--help"},
    "report": {"--store", "--html", "--json", "--open", "--help"},
    "track": {"--store", "--help"},
    "export": {"--store", "--best", "--trial", "--pairing", "--seed", "--register", "--to", "--help"},
    "ui": {"--store", "--port", "--help"},
    "tasks": {"--json", "--help"},
    "models": {"--json", "--help"},
    "gc": {"--store", "--yes", "--keep-weights", "--json", "--help"},
}


def w2s(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_store_without_sweeps_is_said_to_be_one(tmp_path: Path) -> None:
    done = w2s("ls", "--store", "elsewhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, f"no sweep in {tmp_path / 'elsewhere'}; is --store right?\n")


def test_a_changed_option_is_a_decision_not_an_accident() -> None:
    import typer

    from w2s_ray.cli import app

    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    found = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        | {"--help"}
        for name, command in commands.items()
    }
    assert found == FROZEN_OPTIONS


@pytest.mark.parametrize("command", FROZEN_OPTIONS)
def test_every_command_has_help_with_an_example(command: str, tmp_path: Path) -> None:
    shown = w2s(command, "--help", cwd=tmp_path).stdout
    assert f"Example: w2s {command}" in shown


def test_running_a_broken_spec_exits_2_names_the_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    spec = tmp_path / "broken.yaml"
    spec.write_text(QUICKSTART.read_text(encoding="utf-8").replace("trials: 24", "trails: 24"), encoding="utf-8")
    done = w2s("run", str(spec), cwd=tmp_path)
    assert done.returncode == 2
    assert "broken.yaml:" in done.stderr
    assert "did you mean 'trials'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["broken.yaml"]


def test_a_plan_counts_stages_and_trainings_and_writes_nothing(tmp_path: Path) -> None:
    done = w2s("plan", str(QUICKSTART), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert set(plan) == {"sweep", "trials", "stages", "trainings"}
    assert plan["sweep"] == "quickstart"
    assert plan["trials"] == 24
    assert plan["stages"]["stored"] == 0
    assert plan["trainings"]["with_sharing"] < plan["trainings"]["without_sharing"]
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = w2s("run", str(QUICKSTART), "--store", "file/store", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"Not a directory: '{tmp_path / 'file'}" in done.stderr


@pytest.mark.parametrize("command", ["resume", "status", "report", "track", "export"])
def test_an_unknown_sweep_is_named_with_what_there_is(command: str, tmp_path: Path) -> None:
    done = w2s(command, "quickstrat", "--store", str(tmp_path / "store"), cwd=tmp_path)
    assert done.returncode == 2
    assert "no sweep 'quickstrat'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, on a machine where no sweep was ever run."""
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def kept(root: Path) -> None:
    """Makes a store as a driver leaves it that was killed before its first trial."""
    store = Store(root)
    save_spec(store, yaml.load(QUICKSTART))
    remember(store)


def test_a_sweep_is_found_by_its_name_from_any_directory(elsewhere: Path, tmp_path: Path) -> None:
    kept(tmp_path / "runs")
    done = w2s("status", "quickstart", "--json", cwd=elsewhere)
    assert json.loads(done.stdout)["state"] == "interrupted"
    assert done.stderr == f"store: {tmp_path / 'runs'}\n"
    assert list(elsewhere.iterdir()) == []


def test_of_several_sweeps_with_one_name_none_is_guessed(elsewhere: Path, tmp_path: Path) -> None:
    kept(tmp_path / "one")
    kept(tmp_path / "two")
    done = w2s("status", "quickstart", cwd=elsewhere)
    assert done.returncode == 1
    assert f"add --store {tmp_path / 'two'} or --store {tmp_path / 'one'}" in done.stderr


def test_data_beside_the_spec_is_found_from_any_directory(elsewhere: Path, tmp_path: Path) -> None:
    text = QUICKSTART.read_text(encoding="utf-8").replace("source: movie-reviews", "source: mine.csv")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert "mine.csv" in w2s("plan", "../mine.yaml", cwd=elsewhere).stderr
    (tmp_path / "mine.csv").write_text("text,label\na,b\n", encoding="utf-8")
    assert w2s("plan", "../mine.yaml", cwd=elsewhere).returncode == 0


def test_a_ctrl_c_before_the_sweep_is_opened_says_how_to_go_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never-written.yaml")
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", "run", "never-written.yaml"]
    driver = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    writing = None
    while writing is None:  # once that succeeds, the driver waits for the spec's first byte
        assert driver.poll() is None
        with suppress(OSError):
            writing = os.open(tmp_path / "never-written.yaml", os.O_WRONLY | os.O_NONBLOCK)
    time.sleep(0.5)  # it has opened the file; a signal between that and its read would only be seen after the read
    driver.send_signal(signal.SIGINT)
    said = driver.communicate(timeout=60)[1]
    os.close(writing)
    assert driver.returncode == 130
    assert said == "w2s: interrupted before the sweep was opened; the same command starts or resumes it\n"


def test_several_sweeps_open_as_one_page_only_if_it_has_a_place(tmp_path: Path) -> None:
    done = w2s("report", "first", "second", "--open", cwd=tmp_path)
    assert done.returncode == 2
    assert "several sweeps need --html FILE" in done.stderr
    assert list(tmp_path.iterdir()) == []
