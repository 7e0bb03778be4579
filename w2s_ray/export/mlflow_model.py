"""An exported folder as an MLflow model of the run of the stage that trained it, and in the registry if asked.

The model is code and an artifact (`serving.py`, `w2s_student.py`, the folder), with a signature, an input example and
exact requirements, among which w2s_ray is not: so it runs where only these are installed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from w2s_ray.export.choice import Chosen
from w2s_ray.search.lease import lease
from w2s_ray.stages.artifacts import EXAMPLES, Examples
from w2s_ray.tracking import project, tracking_uri
from w2s_ray.tracking.client import connect
from w2s_ray.tracking.runs import KEY

_HERE = Path(__file__).parent
_SERVED = ("mlflow", "numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers")
_DEFAULTS = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")
_SHOWN = 2  # texts of the input example


def log_model(chosen: Chosen, folder: Path, register: str | None) -> str:
    """Logs the folder that `write_folder` wrote; returns the URI that `mlflow models predict -m` takes.

    Args:
        chosen: the student.
        folder: where it was written.
        register: name in the model registry of a new version; None registers nothing.

    Raises:
        SweepInUseError: MLflow does not show the sweep, and a driver that could change that is running.
        Exception: what mlflow raises.
    """
    record = chosen.record
    uri = tracking_uri(record.sweep, record.store)
    client = connect(uri)
    run_id = _run_of(client, chosen)
    if run_id is None:
        with lease(record.store, record.sweep.name):
            project(record, record.store.sweep_folder(record.sweep.name) / "report")
        run_id = _run_of(client, chosen)
        assert run_id is not None, "a complete trial's student is always projected"
    import mlflow

    with _default_place(uri, client.get_run(run_id).info.experiment_id):
        made = mlflow.models.Model.log(
            artifact_path=None,
            name=f"{record.sweep.name}-trial-{chosen.trial.number:04d}-seed-{chosen.seed}",
            flavor=mlflow.pyfunc,
            run_id=run_id,
            registered_model_name=register,
            tags={"w2s.address": chosen.stage.address, "trial": str(chosen.trial.number), "seed": str(chosen.seed)},
            **_content(chosen, folder),
        )
    return str(made.model_uri)


@contextmanager
def _default_place(uri: str, experiment: str) -> Iterator[None]:
    """Makes a server and an experiment mlflow's default ones, which it leaves in the environment, and puts that back.

    By itself mlflow puts a model into the experiment Default, and its files below the current folder.
    """
    import mlflow

    before = {name: os.environ.get(name) for name in _DEFAULTS}
    named = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment_id=experiment)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(named)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def requirements() -> list[str]:
    """Returns what a served model needs, as installed here; of a local build (`2.13.0+cpu`) the public version."""
    return [f"{name}=={version(name).split('+')[0]}" for name in _SERVED]


def _content(chosen: Chosen, folder: Path) -> dict[str, Any]:
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    store = chosen.record.store
    examples = Examples.read(store.get(chosen.stage.inputs["examples"].address).file(EXAMPLES))
    texts = [examples.texts[row] for row in examples.rows("test")[:_SHOWN]]
    probabilities = [ColSpec(DataType.double, f"p({name})") for name in examples.class_names]
    return {
        "python_model": str(_HERE / "serving.py"),
        "code_paths": [str(_HERE / "w2s_student.py")],
        "artifacts": {"student": str(folder)},
        "signature": ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "text")]),
            outputs=Schema([ColSpec(DataType.string, "label"), *probabilities]),
        ),
        "input_example": pd.DataFrame({"text": texts}),
        "pip_requirements": requirements(),
    }


def _run_of(client: Any, chosen: Chosen) -> str | None:
    """Returns the run of the stage that trained the student."""
    experiment = client.get_experiment_by_name(chosen.record.sweep.name)
    if experiment is None:
        return None
    asked = f"tags.`{KEY}` = 'stage {chosen.stage.address}'"
    found = client.search_runs([experiment.experiment_id], filter_string=asked, max_results=1)
    run_id: str | None = found[0].info.run_id if found else None
    return run_id
