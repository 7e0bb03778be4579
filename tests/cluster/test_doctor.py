"""`w2s doctor --address`: the checks go to the head as a job, and what keeps somebody from it is found here."""

import json

import pytest
from heads import TOKEN, Head

from w2s_ray.spec import Sweep, replace, yaml

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_a_head_that_is_well_is_looked_at_from_outside(head: Head, small: Sweep) -> None:
    path = head.folder / "looked-at.yaml"
    path.write_text(yaml.dump(replace(small, store=str(head.folder / "looked-at"))), encoding="utf-8")
    done = head.w2s("doctor", str(path), "--address", head.url, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["findings"]
    checks = {one["check"] for one in found}
    assert checks >= {"address", "nodes", "versions", "clock", "packages", "store", "assets", "mlflow", "resources"}
    assert TOKEN not in done.stdout + done.stderr
    assert not (head.folder / "looked-at").exists()


def test_what_no_node_there_can_hold_is_found_unless_a_node_type_may(head: Head, small: Sweep) -> None:
    path, types = head.folder / "greedy.yaml", head.folder / "types.yaml"
    data = {**small.model_dump(mode="json", by_alias=True, exclude_none=True), "name": "greedy"}
    greedy = Sweep.model_validate({**data, "store": "w2s-runs", "resources": {"default": {"cpus": 64}}})
    path.write_text(yaml.dump(greedy), encoding="utf-8")
    types.write_text("available_node_types: {big: {max_workers: 1, resources: {CPU: 64}}}", encoding="utf-8")
    done = head.w2s("doctor", str(path), "--address", head.url, "--json")
    problems = [one["check"] for one in json.loads(done.stdout)["findings"] if one["state"] == "problem"]
    assert done.returncode == 1
    assert problems[:1] == ["spec"]  # a relative store would be another folder on every node
    assert "resources" in problems
    done = head.w2s("doctor", str(path), "--address", head.url, "--cluster", str(types), "--json")
    assert "resources" not in [one["check"] for one in json.loads(done.stdout)["findings"] if one["state"] == "problem"]


def test_a_wrong_token_and_an_address_without_a_cluster_are_findings(head: Head) -> None:
    wrong = head.w2s("doctor", "--address", head.url, RAY_AUTH_TOKEN="wrong" * 8)
    assert wrong.returncode == 1
    assert "the token here is not that of the cluster" in wrong.stdout
    away = head.w2s("doctor", "--address", "http://127.0.0.1:9")
    assert away.returncode == 1
    assert "no cluster answers at http://127.0.0.1:9" in away.stdout
    assert "Traceback" not in wrong.stderr + away.stderr
