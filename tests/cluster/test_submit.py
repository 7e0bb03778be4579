"""Submit, follow, stop and resume against a real head with token authentication, as somebody far away would."""

import json
import urllib.request
from typing import Any

import pytest
from heads import TOKEN, Head

from w2s_ray.spec import Sweep, replace, yaml

pytestmark = pytest.mark.slow


def written(head: Head, sweep: Sweep) -> str:
    path = head.folder / f"{sweep.name}.yaml"
    path.write_text(yaml.dump(sweep), encoding="utf-8")
    return str(path)


def job_there(head: Head, job: str) -> Any:
    """What the Jobs API tells of a job."""
    request = urllib.request.Request(f"{head.url}/api/jobs/{job}", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_a_missing_and_a_wrong_token_are_refused_in_a_sentence(head: Head) -> None:
    missing = head.w2s("logs", "small", "--address", head.url, RAY_AUTH_TOKEN="")
    assert missing.returncode == 1
    assert "wants a token and there is none here; set RAY_AUTH_TOKEN" in missing.stderr
    wrong = head.w2s("logs", "small", "--address", head.url, RAY_AUTH_TOKEN="wrong" * 8)
    assert wrong.returncode == 1
    assert "the token here is not that of the cluster" in wrong.stderr
    assert "Traceback" not in missing.stderr + wrong.stderr


def test_a_sweep_is_submitted_stopped_resumed_and_shown_from_outside(head: Head, small: Sweep) -> None:
    spec = written(head, replace(small, name="far", store=str(head.folder / "store")))
    submitted = head.w2s("submit", spec, "--address", head.url, "--driver-on", "w2s/driver=yes")
    assert submitted.stdout == "far\n", submitted.stderr
    again = head.w2s("submit", spec, "--address", head.url)
    assert again.returncode == 1
    assert "sweep 'far' is running there (job far-1" in again.stderr
    assert f"or end it: w2s stop far --address {head.url}, or --take-over here" in again.stderr
    taken = head.w2s("submit", spec, "--address", head.url, "--take-over")
    assert "job far-2: " in taken.stderr
    stopped = head.w2s("stop", "far", "--address", head.url)
    assert "job far-2: STOPPED" in stopped.stdout, stopped.stderr
    followed = head.w2s("submit", spec, "--address", head.url, "--follow", "--driver-on", "w2s/driver=yes")
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert "job far-3: SUCCEEDED" in followed.stderr
    status = head.w2s("status", "far", "--address", head.url, "--json")
    assert json.loads(status.stdout)["state"] == "finished", status.stderr
    resumed = head.w2s("resume", "far", "--address", head.url, "--trials", "5")
    assert resumed.stdout == "far\n", resumed.stderr
    assert job_there(head, "far-4")["metadata"]["w2s_driver_on"] == '{"w2s/driver": "yes"}', "it forgot where it was"
    logs = head.w2s("logs", "far", "-f", "--address", head.url)
    assert logs.returncode == 0, logs.stdout + logs.stderr
    assert "job far-4: SUCCEEDED" in logs.stderr
    every = (submitted, again, taken, stopped, followed, status, resumed, logs)
    said = "".join(one.stdout + one.stderr for one in every)
    assert TOKEN not in said


def test_a_driver_waits_for_a_node_with_its_label(head: Head, small: Sweep) -> None:
    spec = written(head, replace(small, name="waiting", store=str(head.folder / "waiting")))
    submitted = head.w2s("submit", spec, "--address", head.url, "--driver-on", "w2s/driver=no")
    assert "job waiting-1: PENDING" in submitted.stderr
    assert "job waiting-1" in head.w2s("submit", spec, "--address", head.url).stderr, "it is there already"
    stopped = head.w2s("stop", "waiting", "--address", head.url)
    assert stopped.returncode == 1
    assert "its driver has no node yet (w2s/driver=no), and Ray ends no job before it has begun" in stopped.stderr
    assert not (head.folder / "waiting").exists()
