import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import w2s_ray
from w2s_ray.report import answers
from w2s_ray.report.frames import frames_of
from w2s_ray.search.folder import UnknownSweepError

World = Any  # tests/report/conftest.py


def test_results_are_those_of_the_report(full_world: World) -> None:
    record = full_world.record()
    results = frames_of(record).results.set_index(["pairing", "method"])
    for pairing in answers(record).pairings:
        for answer in pairing.methods:
            row = results.loc[(pairing.name, answer.method)]
            assert (row["student"], row["pgr"], row["pgr_high"]) == (
                answer.student.estimate, answer.pgr.estimate, answer.pgr.high
            )  # fmt: skip
            assert row["best"] == (answer.method == pairing.best)
    assert "naive default" in results.index.get_level_values("method")


def test_every_trial_is_a_row_and_what_it_lacks_is_missing(full_world: World) -> None:
    trials = frames_of(full_world.record()).trials
    assert trials.index.tolist() == list(range(24))
    assert trials["state"].value_counts().to_dict() == {"complete": 22, "pruned": 1, "failed": 1}
    assert trials.loc[17, ["oracle", "weak_labels"]].isna().all()
    assert trials["params.lr"].between(1e-4, 1e-2).all()
    assert str(trials["started"].dtype.tz) == "UTC"


def test_a_number_that_no_row_has_is_a_column_of_missing_numbers(world: World, right_on: Any) -> None:
    world.trial("naive", right_on(0.7), default=True, models=(0.8, 0.8))  # no gap, so no PGR
    assert frames_of(world.record()).results[["pgr", "pgr_low"]].dtypes.tolist() == ["float64"] * 2
    world.trials[0] = replace(world.trials[0], state="pruned", values={})
    assert frames_of(world.record()).trials["oracle"].round(3).isna().all()


def test_a_sweep_without_trials_loads_empty(world: World) -> None:
    loaded = frames_of(world.record())
    assert (len(loaded.trials), len(loaded.results)) == (0, 0)


def test_loading_an_unknown_sweep_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownSweepError, match=r"no sweep 'nothing' in .*; there: none"):
        w2s_ray.load("nothing", store=tmp_path)


def test_importing_the_package_does_not_wait_for_pandas() -> None:
    code = "import sys, w2s_ray; print('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
