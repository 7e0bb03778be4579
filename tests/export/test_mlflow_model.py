"""The MLflow model, as somebody loads it who has mlflow, torch and transformers, and not w2s_ray."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from w2s_ray.export.choice import Chosen
from w2s_ray.export.mlflow_model import requirements
from w2s_ray.tracking.client import connect

Tested = Callable[[Chosen], tuple[list[str], Any]]

# An environment in which w2s_ray is not: importing it is an error in every process that Python starts.
_NO_W2S = "import sys\nsys.modules['w2s_ray'] = None\n"


def elsewhere(chosen: Chosen, tmp_path: Path, *command: str) -> str:
    """Runs Python in a folder and an environment of their own, in which w2s_ray cannot be imported."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(_NO_W2S, encoding="utf-8")
    uri = f"sqlite:///{chosen.record.store.root}/mlflow.db"
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "path"),
        "MLFLOW_TRACKING_URI": uri,
        "HF_HOME": str(tmp_path / "hub"),
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_registered_model_gives_the_stored_test_predictions_without_w2s_ray(
    logged: tuple[Chosen, str], tested: Tested, tmp_path: Path
) -> None:
    chosen, _ = logged
    texts, stored = tested(chosen)
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    code = """
import json, mlflow, pandas as pd
try:
    import w2s_ray
except ImportError:
    model = mlflow.pyfunc.load_model("models:/reviews/1")
    served = model.predict(pd.DataFrame({"text": json.load(open("texts.json"))}))
    print(served.to_json(orient="split"))
"""
    told = json.loads(elsewhere(chosen, tmp_path, "-c", code).splitlines()[-1])
    assert told["columns"] == ["label", "p(bad)", "p(good)"]
    np.testing.assert_allclose([row[1:] for row in told["data"]], stored, atol=1e-5)
    assert [row[0] for row in told["data"]] == [("bad", "good")[place] for place in stored.argmax(axis=1)]


@pytest.mark.slow
def test_mlflow_models_predict_serves_it_in_a_process_of_its_own(
    logged: tuple[Chosen, str], tested: Tested, tmp_path: Path
) -> None:
    chosen, uri = logged
    texts, stored = tested(chosen)
    rows = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in texts]}}
    (tmp_path / "in.json").write_text(json.dumps(rows), encoding="utf-8")
    command = ["-m", "mlflow", "models", "predict", "-m", uri, "--env-manager", "local"]
    elsewhere(chosen, tmp_path, *command, "-i", "in.json", "-o", "out.json", "-t", "json")
    predictions = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["predictions"]
    np.testing.assert_allclose([row["p(good)"] for row in predictions], stored[:, 1], atol=1e-5)


def test_a_model_says_what_it_takes_and_needs_and_holds_nothing_pickled(
    logged: tuple[Chosen, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    chosen, uri = logged
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{chosen.record.store.root}/mlflow.db")
    folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "model")))
    info = mlflow.models.get_model_info(str(folder))
    assert info.signature.inputs.input_names() == ["text"]
    assert info.signature.outputs.input_names() == ["label", "p(bad)", "p(good)"]
    assert (folder / "input_example.json").is_file()
    assert (folder / "requirements.txt").read_text(encoding="utf-8").split() == requirements()
    assert not any(requirement.startswith(("w2s", "ray")) or "+" in requirement for requirement in requirements())
    files = [path for path in folder.rglob("*") if path.is_file()]
    suffixes = {path.suffix for path in files if path.name not in ("MLmodel", "registered_model_meta")}  # both are YAML
    assert suffixes <= {".json", ".safetensors", ".py", ".md", ".yaml", ".txt"}
    assert isinstance(mlflow.models.Model.load(str(folder)).load_input_example(str(folder)), pd.DataFrame)


def test_the_model_belongs_to_the_run_of_its_student_which_ends_when_it_did(logged: tuple[Chosen, str]) -> None:
    chosen, uri = logged
    client = connect(f"sqlite:///{chosen.record.store.root}/mlflow.db")
    model = client.get_logged_model(uri.removeprefix("models:/"))
    run = client.get_run(model.source_run_id)
    assert model.experiment_id == run.info.experiment_id != "0"
    assert model.artifact_location.startswith((chosen.record.store.root / "mlflow-artifacts").as_uri())
    assert run.data.tags["w2s.address"] == chosen.stage.address
    finished_at = chosen.record.store.get(chosen.stage.address).record.finished_at
    assert (run.info.status, run.info.end_time) == ("FINISHED", round(finished_at * 1000))
    assert client.get_model_version("reviews", "1").run_id == model.source_run_id
