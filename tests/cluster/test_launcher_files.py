"""The launcher files through Ray's own validation, and what we promise of them beyond it."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = ("aws", "gcp")


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CLUSTER / f"{name}.yaml").read_text(encoding="utf-8")))


def check(config: dict[str, Any]) -> None:
    validate_config(prepare_config(copy.deepcopy(config)))


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file(name: str) -> None:
    check(read(name))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", ["top", "node type"])
def test_ray_refuses_the_file_with_a_typo(name: str, place: str) -> None:
    config = read(name)
    mapping = config if place == "top" else config["available_node_types"]["gpu-spot"]
    mapping["max_worker"] = mapping.pop("max_workers")
    with pytest.raises(Exception, match="max_worker"):
        check(config)


@pytest.mark.parametrize("name", FILES)
def test_a_cluster_is_closed_and_shrinks_to_its_head(name: str) -> None:
    config = read(name)
    starts = [line for key in ("head", "worker") for line in config[f"{key}_start_ray_commands"] if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "RAY_enable_autoscaler_v2=1" in starts[0]
    workers = {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}
    assert {kind["min_workers"] for kind in workers.values()} == {0}
    assert {kind["labels"]["ray.io/market-type"] for kind in workers.values()} == {"on-demand", "spot"}
    assert sum(kind["max_workers"] for kind in workers.values()) <= config["max_workers"]


@pytest.mark.parametrize(("name", "bucket"), [("aws", "s3"), ("gcp", "gs")])
def test_no_node_of_a_cloud_holds_what_a_new_head_would_miss_and_no_command_holds_a_password(
    name: str, bucket: str
) -> None:
    config = read(name)
    commands = " ".join(line for key, lines in config.items() if key.endswith("_commands") for line in lines)
    assert "W2S_STUDY_URL=postgresql://w2s@DATABASE/studies" in commands
    assert "--backend-store-uri postgresql://w2s@DATABASE/mlflow" in commands
    assert f"--artifacts-destination {bucket}://BUCKET/" in commands
    assert "sqlite" not in commands
    assert "mount " not in commands
    assert config["file_mounts"]["~/.pgpass"] == "~/.pgpass"


@pytest.mark.parametrize("name", FILES)
def test_what_has_to_be_filled_in_is_explained_on_the_page(name: str) -> None:
    page = (CLUSTER.parent / "docs" / f"cluster-{name}.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    text = (CLUSTER / f"{name}.yaml").read_text(encoding="utf-8")
    head, rest = text.split("cluster_name:")
    assert explained == set(re.findall(r"\b[A-Z_]{5,}\b", head.split("fill in for")[1].split(".")[0]))
    assert all(re.search(rf"\b{word}\b", rest) for word in explained)


def test_ray_accepts_the_file_of_one_machine_and_refuses_it_with_a_typo() -> None:
    config = read("one_machine/cluster")
    check(config)
    config["available_node_types"]["big"]["max_worker"] = 2
    with pytest.raises(Exception, match="max_worker"):
        check(config)


def test_the_cluster_of_one_machine_is_closed_and_shrinks_to_its_head() -> None:
    config, script = read("one_machine/cluster"), (CLUSTER / "one_machine" / "up").read_text(encoding="utf-8")
    assert "RAY_AUTH_MODE=token" in script
    assert "--node-ip-address=127.0.0.1" in script
    assert config["provider"]["gcs_address"].startswith("127.0.0.1:")
    workers = [kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]]
    assert {kind["min_workers"] for kind in workers} == {0}
    assert sum(kind["max_workers"] for kind in workers) <= config["max_workers"]
