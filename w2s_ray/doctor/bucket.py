"""A store in a bucket as each machine sees it: objects arrive as they were sent, and conditional writes are decided."""

import secrets
from contextlib import ExitStack

from w2s_ray.doctor.finding import Finding, ok, problem
from w2s_ray.doctor.need import Need, Probe
from w2s_ray.stages.objects import Objects

_WORD, _FROM = "word", "from-"
_SAME = "give this machine the driver's AWS_ENDPOINT_URL, or other variables that name the server"
_CONDITIONS = "use a server that honours If-None-Match on PUT: S3, Google Cloud Storage, MinIO and R2 do"


def put(uri: str, stack: ExitStack) -> Probe:
    """Writes the driver's object, which `stack` removes with what the machines write. Raises StoreUnavailableError."""
    probe = Probe(f"{uri}/.w2s-doctor-{secrets.token_hex(4)}", secrets.token_hex(16))
    objects = Objects(probe.folder)
    objects.put(_WORD, probe.word.encode())
    stack.callback(lambda: objects.delete(*objects.listing("")))
    return probe


def looked(need: Need) -> list[Finding]:
    """Reads and writes as a stage does. Raises StoreUnavailableError where the server says no."""
    assert need.probe is not None
    objects, uri = Objects(need.probe.folder), need.probe.folder.rpartition("/")[0]
    if objects.get(_WORD) != need.probe.word.encode():
        return [problem("store", f"what the driver wrote into {uri} is not found here", _SAME)]
    objects.put(f"{_FROM}{need.name}", need.probe.word.encode())
    if objects.create(_WORD, b"another") is not None:
        says = f"{uri} lets a second writer replace what the first wrote: two drivers could work on one sweep"
        return [problem("store", says, _CONDITIONS)]
    return [ok("store", f"{uri}: read, written, and conditional writes are decided")]


def seen_from_the_driver(probe: Probe, name: str) -> list[Finding]:
    """Returns what is wrong with what the machine called `name` wrote, as the driver reads it."""
    if Objects(probe.folder).get(f"{_FROM}{name}") == probe.word.encode():
        return []
    uri = probe.folder.rpartition("/")[0]
    return [problem("store", f"what this node writes does not arrive at the driver ({uri})", _SAME)]
