"""The paper's sweep is ready for a cluster: it can be planned whole without network, and says what it lacks."""

import socket
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.hub_models import HUB_MODELS
from w2s_ray.search.several import SeveralPlans, plan_all
from w2s_ray.spec import Sweep, replace, yaml
from w2s_ray.spec.several import Several
from w2s_ray.tasks.public import TASKS

FILE = Path(__file__).parents[1] / "sweeps" / "paper_nlp.yaml"
EXTRA = {"amazon-polarity", "anthropic-hh", "sciq-with-support"}  # not in the paper's Table 1


@pytest.fixture
def paper(tmp_path: Path) -> Several:
    several = yaml.load_all(FILE)
    return Several(several.name, tuple(replace(sweep, store=str(tmp_path / "store")) for sweep in several.sweeps))


def planned(several: Several, monkeypatch: pytest.MonkeyPatch) -> SeveralPlans:
    """Plans while every connection is refused."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a plan must not ask a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return plan_all(several)


def with_commit(sweep: Sweep) -> Sweep:
    return sweep if TASKS[sweep.task.source].revision else replace(sweep, task=replace(sweep.task, revision="0" * 40))


def test_it_has_the_22_sets_of_the_paper(paper: Several) -> None:
    assert len(paper.sweeps) == 22
    assert {sweep.task.source for sweep in paper.sweeps} == set(TASKS) - EXTRA


def test_its_settings_are_those_of_the_paper(paper: Several) -> None:
    for sweep in paper.sweeps:
        assert set(sweep.methods) == {"naive", "confidence", "bootstrap"}
        assert {(m.train, m.baseline.epochs, m.baseline.batch_size, m.baseline.select) for m in sweep.models.values()} \
            == {("full", 2, 32, "weak")}  # fmt: skip
        assert {model.source for model in sweep.models.values()} < set(HUB_MODELS)
        assert sweep.settings_of("confidence")["alpha_warmup"] == 0.2
        assert sweep.space["alpha"].choice == (0.5, 0.75)
        assert sweep.task.balance
        assert sweep.task.splits.weak == sweep.task.splits.student
        assert all(sweep.resources.of(name).gpus for name in sweep.models)


def test_a_plan_asks_no_network_and_names_the_commits_that_are_missing(
    paper: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(paper, monkeypatch)
    assert len(made.plans) == 20
    assert set(made.failed) == {"paper-nlp-mctaco", "paper-nlp-twitter-sentiment"}
    assert all("give task.revision, the 40 hex digits" in reason for reason in made.failed.values())
    assert all(plan.bytes is not None for plan in made.plans), "the sizes of all its models are known"


def test_with_the_two_commits_filled_in_nothing_is_missing(paper: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = Several(paper.name, tuple(map(with_commit, paper.sweeps)))
    made = planned(filled, monkeypatch)
    assert (len(made.plans), made.failed) == (22, {})
    # Every pairing, method and alpha: 6 x (naive, confidence twice, bootstrap).
    assert {plan.trials for plan in made.plans} == {24}
