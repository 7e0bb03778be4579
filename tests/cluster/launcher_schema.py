"""What a launcher file may say where Ray's own validation is silent: of a provider, and of a cloud's machine.

Of a provider it is what Ray's source reads. Of a machine it is the cloud's own description of its API, which botocore
and Google's client bring with them, so nothing is asked over the network.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient
import ray.autoscaler._private as ray_autoscaler
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator


def launcher_problems(config: dict[str, Any]) -> list[str]:
    """Everything in `provider` and `node_config` that neither Ray nor the cloud knows."""
    cloud = config["provider"]["type"]
    machine = {"aws": _of_aws, "gcp": _of_google}[cloud]
    found = [f"provider: {key}" for key in config["provider"].keys() - _read_of_a_provider(cloud)]
    for name, kind in config["available_node_types"].items():
        found += [f"{name}: {problem}" for problem in machine(kind["node_config"])]
    return found


@cache
def _read_of_a_provider(cloud: str) -> set[str]:
    folder = Path(str(ray_autoscaler.__file__)).parent
    files = [*folder.glob("*.py"), *(folder / cloud).glob("*.py")]
    pattern = re.compile(r'(?:provider_config|\["provider"\])(?:\.get\(\s*|\[)"(\w+)"')
    return {key for file in files for key in pattern.findall(file.read_text(encoding="utf-8"))}


@cache
def _run_instances() -> Shape:
    model = ServiceModel(Loader().load_service_model("ec2", "service-2"))
    shape = model.operation_model("RunInstances").input_shape
    assert shape is not None
    return shape


def _of_aws(machine: dict[str, Any]) -> list[str]:
    whole = {**machine, "MinCount": 1, "MaxCount": 1}
    report: str = ParamValidator().validate(whole, _run_instances()).generate_report()
    return report.splitlines()


@cache
def _google_schemas() -> dict[str, Any]:
    documents = Path(str(googleapiclient.__file__)).parent / "discovery_cache" / "documents"
    return dict(json.loads((documents / "compute.v1.json").read_text(encoding="utf-8"))["schemas"])


def _of_google(machine: dict[str, Any]) -> list[str]:
    return list(_unknown_to_google(machine, {"$ref": "Instance"}, "node_config"))


def _unknown_to_google(value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
    schema = _google_schemas()[schema["$ref"]] if "$ref" in schema else schema
    form = {"object": dict, "array": list, "boolean": bool}.get(schema["type"], str | int)
    if not isinstance(value, form):
        yield f"{where}: {value} is no {schema['type']}"
    elif isinstance(value, list):
        for item in value:
            yield from _unknown_to_google(item, schema["items"], where)
    elif isinstance(value, dict):
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if known is None:
                yield f"{where}: {key} is unknown"
            else:
                yield from _unknown_to_google(inner, known, f"{where}.{key}")
    elif value not in schema.get("enum", [value]):
        yield f"{where}: {value} is none of {schema['enum']}"
