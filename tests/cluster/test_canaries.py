"""Distinct secrets wherever one can come from, a real sweep, and then a look into all that came out of it."""

import base64
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from heads import TOKEN, Head, running
from tracking.servers import login_server

from w2s_ray.spec import Sweep, replace, yaml
from w2s_ray.spec.several import Several

pytestmark = pytest.mark.slow

MARK = "canary-"  # begins every secret here, Ray's token too; no name of a test has it
PASSWORD = f"{MARK}mlflow-password"
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "PGPASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "DB_PASSWORD",
)
LEAKY = f"""
import logging
import os
import subprocess
import warnings
import ray

def rows():
    here = ray.get_runtime_context() if ray.is_initialized() else None
    if here and here.get_task_id() and not here.get_actor_id():  # in the stage, not where it or its trial is planned
        held = {{name: os.environ[name] for name in {VARIABLES!r}}}
        password = held["DB_PASSWORD"]
        logging.getLogger("library").warning("trying again with %s", held["HF_TOKEN"])
        warnings.warn("not safe: " + held["PGPASSWORD"])
        words = f"postgresql://me:{{password}}@db/x does not take {{password!r}}"
        error = subprocess.CalledProcessError(2, ["psql", words, held])
        error.__notes__ = ["with " + held["AWS_SESSION_TOKEN"]]
        raise error from ConnectionError(words, held)
    return [{{"text": f"number {{n}}", "label": n % 2}} for n in range(800)]
"""


def secrets_of(who: str) -> dict[str, str]:
    return {name: f"{MARK}{who}-{name.lower()}" for name in VARIABLES}


def many(small: Sweep, store: Path) -> Several:
    """A sweep that goes well, and one each of whose trials fails with a secret in its error."""
    search = replace(small.search, trials=2, failures_in_a_row=2)
    good = replace(small, name="many-good", store=str(store), seeds=(0,), methods={"naive": {}}, search=search)
    good = replace(good, resources={"default": {"retries": 0}})
    broken = replace(good, name="many-broken", task=replace(good.task, source="leaky:rows"))
    return Several("many", (good, broken))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with login_server(tmp_path_factory.mktemp("mlflow"), PASSWORD) as address:
        yield address


@pytest.fixture(scope="module")
def head_with_secrets(tmp_path_factory: pytest.TempPathFactory, url: str) -> Iterator[Head]:
    """A head whose jobs have secrets in their environment, MLflow's password in its address among them."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "leaky.py").write_text(LEAKY, encoding="utf-8")
    uri = url.replace("://", f"://admin:{PASSWORD}@")
    with running(folder, MLFLOW_TRACKING_URI=uri, PYTHONPATH=str(folder), **secrets_of("head")) as head:
        yield head


def test_no_secret_is_in_anything_that_a_sweep_says_or_leaves(
    head_with_secrets: Head, url: str, small: Sweep, tmp_path_factory: pytest.TempPathFactory
) -> None:
    head, store = head_with_secrets, tmp_path_factory.mktemp("store")
    spec, bad = head.folder / "many.yaml", head.folder / "bad.yaml"
    spec.write_text(yaml.dump_all(many(small, store)), encoding="utf-8")
    text = yaml.dump(replace(small, name="bad", store=str(store)))
    bad.write_text(text.replace("enabled: true", f"uri: https://me:{MARK}spec@mlflow.example"), encoding="utf-8")
    user = {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    user = {**secrets_of("user"), **user}
    away = f"http://me:{MARK}away@127.0.0.1:9"
    said: dict[str, str] = {}

    def w2s(code: int | None, *arguments: str, **environment: str) -> str:
        done = head.w2s(*arguments, **{**user, **environment})
        said[" ".join(arguments)] = done.stdout + done.stderr
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done.stdout + done.stderr

    there, here = ("--address", head.url), ("--store", str(store))
    token = head.folder / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text(TOKEN, encoding="utf-8")
    w2s(0, "submit", str(spec), *there, RAY_AUTH_TOKEN="")
    until_there(store / "sweeps" / "many-good" / "starts.jsonl")
    assert "runs there with others" in w2s(1, "stop", "many-good", *there)
    assert "STOPPED" in w2s(0, "stop", "many", *there, RAY_AUTH_TOKEN="")
    assert f"resume  w2s resume many --address {head.url}" in w2s(0, "status", "many", *there)
    w2s(0, "resume", "many", *there)
    assert "many-broken: 2 trials failed in a row" in w2s(1, "logs", "many", *there, "--follow")
    assert "many-good: finished" in w2s(0, "status", "many-good", *there)
    failed = w2s(0, "status", "many", *there, *here)
    assert (
        "subprocess.CalledProcessError: Command '['psql', \"postgresql://me:***@db/x does not take '***'\", {" in failed
    )
    w2s(0, "logs", "many", *there)
    assert "'many' does not run there" in w2s(1, "stop", "many", *there)
    w2s(None, "doctor", str(spec), *there)  # on a busy machine some answers come too late for it
    for command in (["ls"], ["report", "many"], ["track", "many"], ["export", "many-good"]):
        w2s(0, *command, *here)
    w2s(0, "plan", str(spec))
    assert "holds credentials" in w2s(2, "submit", str(bad), *there)
    assert "the token here is not that" in w2s(1, "logs", "many", *there, RAY_AUTH_TOKEN=f"{MARK}wrong" * 4)
    assert "holds credentials" in w2s(1, "logs", "many", "--address", away)
    assert "cannot be written" in w2s(1, "track", "many-good", *here, MLFLOW_TRACKING_URI=away)
    w2s(1, "doctor", str(spec), *here, MLFLOW_TRACKING_URI=away)

    said["the jobs"] = jobs(head)
    assert "many-1" in said["the jobs"]
    leaks = [
        f"{where}: {line}" for where, text in said.items() for line in text.splitlines() if has_secret(line.encode())
    ]
    assert not leaks
    kept = [store, head.temp, Path(tmp_path_factory.getbasetemp()) / "mlflow0"]
    files = [path for folder in kept for path in folder.rglob("*") if path.is_file() and path.name != "auth.ini"]
    assert {"study.journal", "failures.jsonl", "report.html", "served.db", "raylet.out"} <= {
        path.name for path in files
    }
    found = [f"{path}: {line!r}" for path in files for line in path.read_bytes().split(b"\n") if has_secret(line)]
    assert not found, "\n".join(found)


def until_there(path: Path) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.2)


def has_secret(content: bytes) -> bool:
    login = base64.b64encode(f"admin:{PASSWORD}".encode())
    return MARK.encode() in content or login in content


def jobs(head: Head) -> Any:
    """What the Jobs API tells of all jobs: entry points, metadata, runtime environments."""
    request = urllib.request.Request(f"{head.url}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()
