"""Kills real processes of a real sweep at seeded moments, and asks whether anybody could tell afterwards.

A run is a small seeded sweep through the real command line, in a process group of its own, marked by an environment
variable that all its descendants inherit. A kill has a kind (which process, which signal), a phase (where the sweep is)
and a moment within it; all three follow from a seed. Several kills may hit one run, one after the other. Whenever the
driver has ended, the same command is run again, until it ends well.

What is left is then compared with a run that was left alone: trials, stages, MLflow and report must be equal in all but
times, no finished stage may have been started again, and nothing may be left behind: no process, no half-written file.

    python tests/chaos/harness.py --seeds 200        # a table: seed, kind, moment, restarts, same or not, seconds
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from w2s_ray.search.folder import load_record, load_spec
from w2s_ray.spec import yaml
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import SPENT

sys.path.insert(0, str(Path(__file__).parents[1]))  # pytest does that; as a command this file must

from reduced import reduced_quickstart

MARK = "W2S_CHAOS_RUN"

PHASES = ("start", "features", "trials", "report")
KINDS = {
    "driver": PHASES,
    "sigint": PHASES,
    "sigterm": PHASES,
    "worker": ("features", "trials"),
    "broker": ("features", "trials"),
    "trial": ("features", "trials"),
    "raylet": ("start", "features", "trials"),
    "gcs": ("start", "features", "trials"),
}
_SIGNALS = {"sigint": signal.SIGINT, "sigterm": signal.SIGTERM}
_LABELS = ("examples", "features", "weak", "ceiling", "intermediate", "student")

START_SECONDS = 15.0  # from the command to the first stage, on two cores
PHASE_SECONDS = 4.0  # how long features, and what follows the last stage, take
ORDERLY_SECONDS = 30.0  # in which a driver that was asked to leave must have left
NOTICE_SECONDS = 240.0  # in which a driver whose Ray died must have noticed
RUN_SECONDS = 240.0  # in which a driver that is left alone must have finished
LAST_WORKER_SECONDS = 75.0  # a Ray worker that was starting when its head died looks for it for 60 s
MOST_RESTARTS = 25

# Where Ray ends the driver from within, or holds Python's lock until the driver's last resort does.
_FROM_WITHIN = ("core_worker_process.cc", "Timeout (")
_POLL_SECONDS = 0.03

_INPUTS = "select name, digest from datasets join inputs on source_id = dataset_uuid where destination_id = ?"


@dataclass(frozen=True)
class Kill:
    """Which process dies, and when: `moment` in [0, 1) is a place within the phase."""

    seed: int
    kind: str
    phase: str
    moment: float


@dataclass
class Hit:
    """What became of a kill.

    Attributes:
        victim: title and pid of the process that died; None if the sweep was over before.
        after: seconds from the run's start.
        code: exit code of the driver, if it ended by this kill.
        ended_after: seconds it took.
        problem: what the driver should have done otherwise.
    """

    kill: Kill
    victim: str | None = None
    after: float = 0.0
    code: int | None = None
    ended_after: float | None = None
    problem: str | None = None


@dataclass
class Run:
    """One sweep that was interrupted: its folder, what hit it, and how it came through."""

    folder: Path
    mark: str
    hits: list[Hit] = field(default_factory=list)
    starts: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "w2s-runs"


def kill_of(seed: int, kinds: Sequence[str] = tuple(KINDS)) -> Kill:
    """Returns the kill of a seed; the kinds take turns."""
    draw = random.Random(seed)
    kind = kinds[seed % len(kinds)]
    return Kill(seed, kind, draw.choice(KINDS[kind]), draw.random())


def in_order(kills: Iterable[Kill]) -> list[Kill]:
    """Returns kills in the order in which a sweep reaches them; a `start` is reached after every restart."""
    kills = list(kills)
    later = sorted((k for k in kills if k.phase != "start"), key=lambda k: (PHASES.index(k.phase), k.moment))
    for one in sorted((k for k in kills if k.phase == "start"), key=lambda k: k.seed):
        restarts = [0, *(n + 1 for n, k in enumerate(later) if k.kind not in ("worker", "broker", "trial"))]
        later.insert(random.Random(one.seed).choice(restarts), one)
    return later


# Running.


def run_sweep(folder: Path, kills: Sequence[Kill] = (), *, stages: int | None = None, name: str = "quickstart") -> Run:
    """Runs the sweep `name`.yaml of `folder` to its end, whatever it takes.

    Args:
        folder: holds the spec; the store is made in it.
        kills: in the order in which they are due.
        stages: how many the finished store has, for the moments within trials and report.
        name: of the sweep.
    """
    run = Run(folder, uuid.uuid4().hex)
    start, waiting = time.monotonic(), list(kills)
    try:
        while run.starts <= MOST_RESTARTS and not run.problems:
            driver = start_driver(folder, run.mark, "run", f"{name}.yaml", log=f"driver-{run.starts}")
            run.starts += 1
            code = _watch(run, driver, waiting, start, stages or 0)
            if code == 0:
                break
    finally:
        run.problems += [f"left behind: {left}" for left in end_all(run.mark)]
        run.seconds = time.monotonic() - start
    run.hits += [Hit(kill) for kill in waiting]
    run.problems += [hit.problem for hit in run.hits if hit.problem]
    if run.starts > MOST_RESTARTS:
        run.problems.append(f"not finished after {MOST_RESTARTS} restarts")
    return run


def start_driver(folder: Path, mark: str, *arguments: str, log: str, inside: Sequence[str] = ()) -> psutil.Popen:
    """Starts `w2s` in a process group of its own; its standard error goes to `log`.err in the folder.

    Args:
        folder: where it runs.
        mark: inherited by all that it starts.
        arguments: of `w2s`.
        log: name of the files with what it says.
        inside: a command that runs another, such as one that enters a network namespace.
    """
    command = [*inside, sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", MARK: mark}
    with (folder / f"{log}.out").open("w") as out, (folder / f"{log}.err").open("w") as err:
        return psutil.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err, start_new_session=True)


def _watch(run: Run, driver: psutil.Popen, waiting: list[Kill], start: float, stages: int) -> int:
    """Strikes with the kills that are due while the driver lives; returns its exit code."""
    born = time.monotonic()
    while driver.poll() is None:
        if time.monotonic() - born > RUN_SECONDS:
            run.problems.append(f"the driver has not finished in {RUN_SECONDS:.0f} s: {_last_words(run)}")
            driver.kill()
        elif waiting and _is_due(waiting[0], run.store, born, stages):
            victim = _victim(waiting[0].kind, driver)
            if victim is not None:
                hit = Hit(waiting.pop(0), after=time.monotonic() - start)
                run.hits.append(hit)
                _strike(hit, victim, driver)
                _see_it_end(run, hit, driver)
        time.sleep(_POLL_SECONDS)
    return int(driver.wait())


def _is_due(kill: Kill, store: Path, born: float, stages: int) -> bool:
    if kill.phase == "start":
        return time.monotonic() - born >= kill.moment * START_SECONDS
    if kill.phase == "features":
        begun = next((line["time"] for line in starts(store) if line["label"].startswith("features")), None)
        return begun is not None and time.time() - begun >= kill.moment * PHASE_SECONDS
    stored = stored_addresses(store)
    if kill.phase == "trials":
        return len(stored) >= 4 + kill.moment * (stages - 4)
    if len(stored) < stages:
        return False
    newest = max((store / "stages" / address).stat().st_mtime for address in stored)
    return time.time() - newest >= kill.moment * PHASE_SECONDS


def _victim(kind: str, driver: psutil.Popen) -> psutil.Process | None:
    """Returns a process of that kind among the driver's descendants."""
    if kind in ("driver", *_SIGNALS):
        return psutil.Process(driver.pid)
    try:
        family = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    return next((one for one in family if is_of_kind(one, kind)), None)


def is_of_kind(process: psutil.Process, kind: str) -> bool:
    try:
        title, name = " ".join(process.cmdline()), process.name()
    except psutil.Error:
        return False
    if kind in ("raylet", "gcs"):
        return name == {"raylet": "raylet", "gcs": "gcs_server"}[kind]
    if kind == "worker":
        return title.startswith(tuple(f"ray::{label}" for label in _LABELS))
    return title.startswith({"broker": "ray::Broker", "trial": "ray::ImplicitFunc"}[kind])


def _strike(hit: Hit, victim: psutil.Process, driver: psutil.Popen) -> None:
    try:
        title = "driver" if victim.pid == driver.pid else " ".join(victim.cmdline())[:60].rsplit("/", 1)[-1]
        victim.send_signal(_SIGNALS.get(hit.kill.kind, signal.SIGKILL))
    except psutil.NoSuchProcess:
        title = "gone in the same moment"
    hit.victim = f"{title} [{victim.pid}]"


def _see_it_end(run: Run, hit: Hit, driver: psutil.Popen) -> None:
    """Waits for the driver's end where the kill means that, and judges how it went."""
    kind = hit.kill.kind
    patience = {"driver": 10.0, "raylet": NOTICE_SECONDS, "gcs": NOTICE_SECONDS}.get(kind, ORDERLY_SECONDS)
    if kind in ("worker", "broker", "trial"):
        return
    struck = time.monotonic()
    try:
        hit.code = int(driver.wait(timeout=patience))
    except psutil.TimeoutExpired:
        hit.problem = f"{kind} died and the driver hangs for {patience:.0f} s: {_last_words(run)}"
        driver.kill()
        hit.code = int(driver.wait())
    hit.ended_after = time.monotonic() - struck
    if hit.problem is None:
        hit.problem = _complaint(run, hit)


def _complaint(run: Run, hit: Hit) -> str | None:
    """What is wrong with how a driver ended. Before its first line it has no handlers yet and may end the plain way.

    It says how to resume when it starts Ray, and must say so again where it still can.
    """
    said = _log(run)
    times = 2 if "starting Ray" in said and not any(mark in said for mark in _FROM_WITHIN) else 1
    expected = {"driver": (-9,), "raylet": (0, 1, 130), "gcs": (0, 1, 130)}.get(hit.kill.kind, (0, 130))
    # For the second in which Ray ends, SIGTERM is the system's; see `signals_kept`. Only the report is missing then.
    is_closing = hit.code == -signal.SIGTERM and _is_searched(run)
    if hit.code not in expected and "sweep" in said and not is_closing:
        return f"after {hit.kill.kind} the driver ended with {hit.code}: {_last_words(run)}"
    if hit.code in (1, 130) and said.count("resume") < times:
        return f"after {hit.kill.kind} the driver does not say how to resume: {_last_words(run)}"
    return None


def _is_searched(run: Run) -> bool:
    """Whether the study has all its results."""
    store = Store(run.store)
    record = load_record(store, load_spec(store, "quickstart"))
    return sum(trial.finished is not None for trial in record.trials) >= record.sweep.search.trials


def _log(run: Run) -> str:
    return (run.folder / f"driver-{run.starts - 1}.err").read_text(encoding="utf-8", errors="replace")


def _last_words(run: Run) -> str:
    return " / ".join(_log(run).strip().splitlines()[-2:])[-400:]


def marked(mark: str) -> Iterator[psutil.Process]:
    """Yields the living processes that belong to a run."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue


def end_all(mark: str, patience: float = LAST_WORKER_SECONDS) -> list[str]:
    """Gives a run's processes time to end by themselves; ends and returns those that did not."""
    deadline = time.monotonic() + patience
    while (left := list(marked(mark))) and time.monotonic() < deadline:
        time.sleep(0.5)
    titles = []
    for process in left:
        try:
            titles.append(f"{' '.join(process.cmdline())[:120]} [{process.pid}]")
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return titles


def said(folder: Path, log: str) -> str:
    """Returns what a driver wrote to standard error."""
    return (folder / f"{log}.err").read_text(encoding="utf-8")


def until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Waits for something that has to come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


# What a sweep leaves.


def starts(store: Path, name: str = "quickstart") -> list[dict[str, Any]]:
    """Returns the lines of starts.jsonl that are whole."""
    path = store / "sweeps" / name / "starts.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line]


def stored_addresses(store: Path) -> list[str]:
    """Returns the addresses of finished stages."""
    folder = store / "stages"
    return [one.name for one in folder.iterdir() if not one.name.startswith(".")] if folder.exists() else []


def findings(folder: Path, name: str = "quickstart") -> dict[str, Any]:
    """Returns all that a finished sweep found out, by what it is about, without times."""
    store = Store(folder / "w2s-runs")
    record = load_record(store, load_spec(store, name))
    found: dict[str, Any] = {
        f"trial {t.number}": (t.state, t.params, t.values, dict(t.intermediate), dict(t.stages), t.default, t.error)
        for t in record.trials
    }
    for address in stored_addresses(store.root):
        stage = store.get(address).record
        found[f"stage {address}"] = (stage.identity, stage.summary, stage.files)
    found.update(mlflow_runs(store.root / "mlflow.db"))
    report = store.sweep_folder(name) / "report" / "report.json"
    found["report"] = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
    return found


def mlflow_runs(path: Path) -> dict[str, Any]:
    """Returns what each run that is not deleted shows, by its kind and key; two of one key are told apart.

    That is name, state, params, points, data sets, and its files with the content of the predictions: a report holds
    times, and a spec what a test changed about its execution.
    """
    if not path.exists():
        return {"mlflow": None}
    found: dict[str, Any] = {}
    with sqlite3.connect(path) as database:

        def rows(query: str, run: str) -> list[tuple[Any, ...]]:
            return sorted(database.execute(query, (run,)).fetchall())

        shown = "select run_uuid, name, status, artifact_uri from runs where lifecycle_stage = 'active'"
        for run, name, status, place in database.execute(f"{shown} order by start_time").fetchall():
            tags = dict(rows("select key, value from tags where run_uuid = ?", run))
            key = f"mlflow {tags.get('kind')} {tags.get('w2s.key')}"
            while key in found:
                key += " again"
            found[key] = (
                # Two models cut at one depth are the same stage, named after the one that asks first.
                None if tags.get("kind") == "stage" else name,
                status,
                rows("select key, value from params where run_uuid = ?", run),
                # How busy a process was is no finding; an interrupted one was looked at more often.
                rows("select key, value, step from metrics where run_uuid = ? and key not like 'system/%'", run),
                rows(_INPUTS, run),
                _files(place, path.parent),
            )
    return found


def _files(place: str, served: Path) -> list[tuple[str, str]]:
    """Returns name and content of a run's files; a server's lie in `served`/artifacts."""
    folder = Path(place.removeprefix("file://").replace("mlflow-artifacts:", f"{served}/artifacts"))
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = [(path, path.relative_to(folder).as_posix()) for path in paths]
    return [(name, path.read_text(encoding="utf-8") if name.endswith(".csv") else "") for path, name in named]


def differences(reference: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Returns what is not the same, in words."""
    missing = [f"missing: {key}" for key in reference if key not in other]
    more = [f"too much: {key}" for key in other if key not in reference]
    changed = [
        f"different: {key}: {_parting(reference[key], other[key])}"
        for key in reference
        if key in other and other[key] != reference[key]
    ]
    return missing + more + changed


def _parting(one: Any, other: Any) -> str:
    """Shows where two values part."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        one, other = next(pair for pair in zip(one, other, strict=True) if pair[0] != pair[1])
    left, right = repr(one), repr(other)
    first = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)
    return f"...{left[max(0, first - 60) : first + 60]}... became ...{right[max(0, first - 60) : first + 60]}..."


def repeated(store: Path, names: Sequence[str] = ("quickstart",)) -> list[str]:
    """Returns the stages that were started although they were finished. Those in flight at a kill are no repetition."""
    finished = {address: Store(store).get(address).record.finished_at for address in stored_addresses(store)}
    lines = [line for name in names for line in starts(store, name)]
    return [
        f"finished and started again: {line['label']} {line['address']}"
        for line in lines
        if line["time"] > finished.get(line["address"], float("inf"))
    ]


def worked_twice(store: Path, names: Sequence[str]) -> list[str]:
    """Returns the stages whose work began more than once.

    Of several sweeps at once this is what counts: one may ask for a stage in the moment in which another finishes it.
    """
    texts = [(store / "sweeps" / name / SPENT).read_text(encoding="utf-8") for name in names]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    begun = Counter(line["address"] for line in lines if "seconds" not in line)
    return [f"worked on {count} times: {address}" for address, count in begun.items() if count > 1]


def leftovers(store: Path) -> list[str]:
    """Returns what should not be in the store of a finished sweep."""
    drafts = [path for path in (store / "stages").iterdir() if path.name.startswith(".")]
    work = list((store / "work").iterdir()) if (store / "work").exists() else []
    aside = list((store / "aside").iterdir()) if (store / "aside").exists() else []
    return [f"left in the store: {path.relative_to(store)}" for path in drafts + work + aside]


def complaints(run: Run, reference: dict[str, Any]) -> list[str]:
    """Returns all that is wrong with a run; empty if it cannot be told from the one that was left alone."""
    if run.problems and not (run.store / "sweeps/quickstart/report/report.json").exists():
        return run.problems
    return [
        *run.problems,
        *differences(reference, findings(run.folder)),
        *repeated(run.store),
        *leftovers(run.store),
    ]


def left_alone(folder: Path) -> dict[str, Any]:
    """Runs the sweep without a kill and returns its findings."""
    run = run_sweep(prepared(folder))
    wrong = [*run.problems, *repeated(run.store), *leftovers(run.store)]
    assert not wrong, (wrong, _last_words(run))
    assert run.starts == 1, _last_words(run)
    return findings(folder)


def stage_count(reference: dict[str, Any]) -> int:
    """Returns how many stages a run's findings hold."""
    return sum(key.startswith("stage ") for key in reference)


def prepared(folder: Path, **changes: Any) -> Path:
    """Writes the spec into a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep = reduced_quickstart(**changes)
    (folder / f"{sweep.name}.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs many seeds and prints a row for each; exit code 1 if one left a trace."""
    parser = argparse.ArgumentParser(description="Kill a sweep in many ways and compare what it leaves.")
    parser.add_argument("--seeds", type=int, default=200, help="how many kill points")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kills", type=int, default=4, help="kill points that hit the same run")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS), help="which kinds of kills")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after so long")
    parser.add_argument("--folder", type=Path, default=None, help="where to run; kept where given")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the sweep ends with it
    with tempfile.TemporaryDirectory() as scratch:
        return _many(options, options.folder or Path(scratch), lambda line: print(line, flush=True))


def _many(options: argparse.Namespace, folder: Path, show: Callable[[str], None]) -> int:
    start, bad = time.monotonic(), 0
    reference = left_alone(folder / f"alone-{options.first}")
    show(f"left alone: {time.monotonic() - start:.0f} s, {stage_count(reference)} stages")
    show(" seed kind     moment             at  exit     in starts result        s  victim")
    for first in range(options.first, options.first + options.seeds, options.kills):
        if time.monotonic() - start > options.minutes * 60:
            show(f"stopped before seed {first}: the time is over")
            break
        seeds = range(first, min(first + options.kills, options.first + options.seeds))
        place = prepared(folder / f"seeds-{first}")
        run = run_sweep(place, in_order(kill_of(seed, options.kinds) for seed in seeds), stages=stage_count(reference))
        wrong = complaints(run, reference)
        bad += bool(wrong)
        for hit in run.hits:
            show(_row(hit, run, "different" if wrong else "same"))
        for line in wrong:
            show(f"      ! {line}")
    return int(bad > 0)


def _row(hit: Hit, run: Run, result: str) -> str:
    kill = hit.kill
    code = "" if hit.code is None else str(hit.code)
    ended = "" if hit.ended_after is None else f"{hit.ended_after:.1f}"
    moment = f"{kill.phase} {kill.moment:.2f}"
    return (
        f"{kill.seed:>5} {kill.kind:8} {moment:14} {hit.after:6.1f} {code:>5} {ended:>6} {run.starts:>6} "
        f"{result:9} {run.seconds:5.0f}  {hit.victim or 'too late'}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
