"""What `w2s tasks` and `w2s models` list, and that the page on tasks says the same and its example runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from w2s_ray import catalogue
from w2s_ray.assets import ASSETS, cache_folder
from w2s_ray.hub_models import HUB_MODELS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tasks.md"
MODELS_PAGE = ROOT / "docs" / "models.md"

SPEC = """
name: moods
models:
  small: {source: minilm, depth: 0, max_length: 24, baseline: &head {lr: 3e-3, epochs: 3, eval_every: 20}}
  large: {source: minilm, depth: 2, max_length: 24, baseline: *head}
pairings: [{weak: small, strong: large}]
methods: [naive, confidence]
seeds: [0]
search: {trials: 2, parallelism: 2}
tracking: {enabled: false}
"""


def w2s(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_every_asset_is_listed_as_what_it_holds() -> None:
    listed = {"data": {one.name for one in catalogue.tasks()}, "model": {one.name for one in catalogue.models()}}
    for asset in ASSETS.values():
        assert asset.name in listed[asset.holds]
    assert len(catalogue.tasks()) == 4 + 25
    assert {one.name for one in catalogue.models()} > set(HUB_MODELS)


def test_what_is_on_this_machine_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path))
    assert not any(one.cached for one in [*catalogue.tasks(), *catalogue.models()] if "==" in one.origin)
    place = cache_folder() / "assets" / f"tweets-{ASSETS['tweets'].sha256[:16]}"
    place.mkdir(parents=True)
    (place / "asset.json").write_text("{}", encoding="utf-8")
    assert [one.name for one in catalogue.tasks() if one.cached and "==" in one.origin] == ["tweets"]


def test_the_commands_print_a_table_and_plain_data(tmp_path: Path) -> None:
    assert "editorials" in w2s("tasks", cwd=tmp_path)
    assert "22.7 M" in w2s("models", cwd=tmp_path)
    tasks = {one["name"]: one for one in json.loads(w2s("tasks", "--json", cwd=tmp_path))}
    assert tasks["boolq"]["revision"] == "35b264d03638db9f4ce671b711558bf7ff0f80d5"
    assert tasks["boolq"]["classes"] == ["no", "yes"]
    assert "sit at chance" in tasks["anthropic-hh"]["note"]
    models = {one["name"]: one for one in json.loads(w2s("models", "--json", cwd=tmp_path))}
    assert models["smollm2-135m"]["layers"] == 30
    assert models["pythia-410m"]["revision"] == "9879c9b5f8bea9051dcb0e68dff21493d67e9d4f"
    assert list(tmp_path.iterdir()) == []


def test_the_page_lists_the_tasks_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert catalogue.to_markdown(catalogue.tasks()) in page
    assert all(f"- `{one.name}`: {one.note}." in page for one in catalogue.tasks() if one.note)


def test_the_page_lists_the_models_as_they_are() -> None:
    assert MODELS_PAGE.read_text(encoding="utf-8").endswith(catalogue.models_to_markdown(catalogue.models()))


@pytest.mark.slow
def test_the_pages_example_of_three_classes_runs_as_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "my_tasks.py").write_text(blocks("python")[0], encoding="utf-8")
    (task,) = (block for block in blocks("yaml") if "my_tasks:moods" in block)
    (tmp_path / "moods.yaml").write_text(SPEC + task, encoding="utf-8")
    w2s("run", "moods.yaml", cwd=tmp_path)
    report = json.loads(w2s("report", "moods", "--json", cwd=tmp_path))
    (pairing,) = report["pairings"]
    assert {one["method"] for one in pairing["methods"]} == {"naive", "confidence"}
    for accuracy in (pairing["weak_accuracy"], pairing["ceiling_accuracy"], pairing["methods"][0]["student_accuracy"]):
        assert accuracy > 0.45, "chance is a third"
