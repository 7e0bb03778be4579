"""Files of a sweep's run: its spec, its report, and what the best students said about test examples.

Each group carries a digest in a tag of the run, so it is put there again only when it has changed.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.search.record import SweepRecord, TrialRecord
from w2s_ray.spec import yaml
from w2s_ray.stages.artifacts import EXAMPLES, Examples, Predictions
from w2s_ray.stages.store import Store
from w2s_ray.tracking.planned import cut
from w2s_ray.tracking.runs import Runs

SPEC, PREDICTIONS, REPORT = "w2s.spec", "w2s.predictions", "w2s.report"
MOST_ROWS = 300  # of a table of predictions: MLflow's page shows it whole, and all of them are in the store

_PAGE, _ANSWER = "report.html", "report.md"  # of a report's folder
_LONGEST_TEXT = 300  # characters


def put_spec(client: Any, runs: Runs, run_id: str, record: SweepRecord) -> None:
    """Puts the spec there, as it is kept with the study."""
    _put_texts(client, runs, run_id, SPEC, {"sweep.yaml": yaml.dump(record.sweep)})


def put_predictions(client: Any, runs: Runs, run_id: str, record: SweepRecord) -> None:
    """Puts a table there for the best trial of each pairing that has one."""
    best = ((pairing.name, record.best(pairing.name)) for pairing in record.sweep.pairings)
    tables = {_file_of(name): predictions_table(trial, record.store) for name, trial in best if trial is not None}
    _put_texts(client, runs, run_id, PREDICTIONS, tables)


def put_report(client: Any, runs: Runs, run_id: str, folder: Path) -> None:
    """Puts all files of the report there, but hidden ones."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path, folder))
    digest = _digest({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    if runs.tag(run_id, REPORT) == digest:
        return
    for path in files:
        client.log_artifact(run_id, str(path), Path("report", path.relative_to(folder).parent).as_posix())
    client.set_tag(run_id, REPORT, digest)


def answer_of(folder: Path) -> str:
    """Returns what the report in a folder answers, in Markdown: a line per pairing; empty if there is no report."""
    path = folder / _ANSWER
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.partition("\n## Answer\n")[2].partition("\n## ")[0].strip()


def page_of(folder: Path) -> str | None:
    """Returns the file of the report that one reads: the page, unless the answer was written anew since."""
    found = [path for path in (folder / _PAGE, folder / _ANSWER) if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=Path()).name or None


def predictions_table(trial: TrialRecord, store: Store) -> str:
    """Returns CSV: what the first seed's models say of the first test examples, in the order of their ids.

    Columns: id, class, then of weak supervisor, student and ceiling the class it gives and its probability, and the
    text, cut. Raises as `Store.get` and `StoredStage.file`.
    """
    said = {role: _on_test(trial.stages[role][0], store) for role in ("weak", "student", "ceiling")}
    identity = store.get(trial.stages["weak"][0]).record.identity
    examples = Examples.read(store.get(identity["inputs"]["examples"]).file(EXAMPLES))
    row_of = {name: row for row, name in enumerate(examples.ids.tolist())}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "class", *(f"{role}{suffix}" for role in said for suffix in ("", " probability")), "text"])
    for name in sorted(said["student"])[:MOST_ROWS]:
        row = row_of[name]
        cells = [cell for role in said for cell in _cells(said[role][name], examples.class_names)]
        truth = examples.class_names[examples.classes[row]]
        writer.writerow([name, truth, *cells, cut(examples.texts[row], _LONGEST_TEXT)])
    return table.getvalue()


def _on_test(address: str, store: Store) -> dict[str, np.ndarray[Any, Any]]:
    test: Predictions = store.get(address).predictions().of("test")
    return dict(zip(test.ids.tolist(), test.probabilities, strict=True))


def _cells(probabilities: np.ndarray[Any, Any], class_names: tuple[str, ...]) -> tuple[str, str]:
    return class_names[int(probabilities.argmax())], f"{probabilities.max():.4f}"


def _file_of(pairing: str) -> str:
    return f"predictions/{re.sub(r'[^A-Za-z0-9_.-]', '_', pairing.replace('→', '-to-'))}.csv"


def _put_texts(client: Any, runs: Runs, run_id: str, tag: str, files: Mapping[str, str]) -> None:
    digest = _digest({name: text.encode() for name, text in files.items()})
    if runs.tag(run_id, tag) == digest:
        return
    for name, text in files.items():
        client.log_text(run_id, text, name)
    client.set_tag(run_id, tag, digest)


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _digest(files: Mapping[str, bytes]) -> str:
    named = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]
