"""The MLflow model in a new environment that has what its own requirements.txt asks for, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from w2s_ray.export.choice import Chosen
from w2s_ray.tracking.client import connect

pytestmark = pytest.mark.slow

Tested = Callable[[Chosen], tuple[list[str], Any]]
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


@pytest.fixture(scope="module")
def model(logged: tuple[Chosen, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model, in a folder of its own."""
    chosen, uri = logged
    client = connect(f"sqlite:///{chosen.record.store.root}/mlflow.db")
    place = client.get_logged_model(uri.removeprefix("models:/")).artifact_location
    return Path(shutil.copytree(place.removeprefix("file://"), tmp_path_factory.mktemp("copy") / "model"))


@pytest.fixture(scope="module")
def fresh(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of the new environment, which takes 1.5 GB and is removed again."""
    if torch.version.cuda is not None:
        pytest.skip("torch is a CUDA build here, so a second one would be gigabytes to download")
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    (folder / "build.txt").write_text(f"torch=={version('torch')}\n", encoding="utf-8")  # with its +cpu
    wanted = ["-r", str(model / "requirements.txt"), "-c", str(CONSTRAINTS), "-c", str(folder / "build.txt")]
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    # Compiling all of torch and mlflow ahead would take a fourth of the time and a fifth of the space.
    subprocess.run([*pip, "install", "--quiet", "--no-compile", *wanted], check=True, env=environment(folder))
    yield folder / "bin"
    shutil.rmtree(folder)


def environment(folder: Path) -> dict[str, str]:
    """This process's, without what leads to w2s_ray or to the programs beside this Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON", "VIRTUAL_"))}
    return {**kept, "PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HF_HOME": str(folder / "hub")}


def said(fresh: Path, tmp_path: Path, program: str, *arguments: str) -> str:
    command = [str(fresh / program), *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(fresh.parent), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_loads_and_gives_the_stored_predictions(
    logged: tuple[Chosen, str], model: Path, fresh: Path, tested: Tested, tmp_path: Path
) -> None:
    texts, stored = tested(logged[0])
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    code = """
import importlib.util, json, sys
assert not any(map(importlib.util.find_spec, ("w2s_ray", "ray", "optuna", "pytest")))
import mlflow, pandas as pd
served = mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.DataFrame({"text": json.load(open("texts.json"))}))
print(served.to_json(orient="split"))
"""
    told = json.loads(said(fresh, tmp_path, "python", "-c", code, str(model)).splitlines()[-1])
    np.testing.assert_allclose([row[1:] for row in told["data"]], stored, atol=1e-5)


def test_mlflow_models_predict_serves_it(
    logged: tuple[Chosen, str], model: Path, fresh: Path, tested: Tested, tmp_path: Path
) -> None:
    texts, stored = tested(logged[0])
    rows = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in texts]}}
    (tmp_path / "in.json").write_text(json.dumps(rows), encoding="utf-8")
    arguments = ["-m", str(model), "--env-manager", "local", "-i", "in.json", "-o", "out.json", "-t", "json"]
    said(fresh, tmp_path, "mlflow", "models", "predict", *arguments)
    predictions = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["predictions"]
    np.testing.assert_allclose([row["p(good)"] for row in predictions], stored[:, 1], atol=1e-5)
