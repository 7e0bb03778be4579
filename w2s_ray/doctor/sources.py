"""Models and data that stages read: on this machine already, or to be had from it. Nothing of them is downloaded.

An asset comes from the package index that pip is configured for, all else from a model hub, a folder or a file. A stage
may run on any node, so each node is asked. What is in the cache needs neither; what is gated needs a token that may.
"""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from w2s_ray import hub_models
from w2s_ray.assets import ASSETS, Asset, cache_folder, is_cached, is_local, locate
from w2s_ray.doctor.finding import Finding, first_line, ok, problem
from w2s_ray.doctor.need import Need, Source
from w2s_ray.hub_models import written_out
from w2s_ray.tasks import code, hub, public

_HUB_SECONDS = 10.0
_INDEX_SECONDS = 20
_LICENCE = "accept its licence on its page with the account of the token in HF_TOKEN, and set that on every node"
_TOKEN = "set HF_TOKEN to a valid token of an account that may read it, or unset a wrong one (it may be in ~/.cache)"
_HUB = "try again later; what the hub says is its own trouble"
_NO_HUB = "open the way to it (HF_ENDPOINT, https_proxy), or copy a cache that has it to HF_HOME on every node"
_NO_INDEX = "configure an index that pip reaches and that has it, or set W2S_CACHE to a copy of a cache that holds it"
_EVERY_NODE = "put it where every node mounts it, and name it by its absolute path"


@dataclass(frozen=True)
class _OnHub:
    """What is not in the hub's cache."""

    name: str
    repository: str
    revision: str | None
    kind: Literal["model", "dataset"]


def sources(need: Need) -> list[Finding]:
    """Whether each model and data set that the spec names is here, or can be fetched."""
    looked = [_looked_for(source) for source in need.sources]
    here = [one for one in looked if isinstance(one, Finding)]
    return here + _asked_for([one for one in looked if isinstance(one, _OnHub)])


def _looked_for(source: Source) -> Finding | _OnHub:
    if source.name in ASSETS:
        return _asset(ASSETS[source.name])
    if source.kind == "data" and source.name in public.TASKS:
        return _public(source)
    if is_local(source.name):
        return _local(source)
    if source.kind == "data" and source.revision is None and code.is_code(source.name):
        return _code(source.name)
    return _model(source) if source.kind == "model" else _data(source)


def _asset(asset: Asset) -> Finding:
    if is_cached(asset):
        return ok("assets", f"{asset.name}: in {cache_folder()}")
    package, _, version = asset.requirement.partition("==")
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--retries", "0", "--timeout", "5"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INDEX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return problem("assets", f"{asset.name}: not in {cache_folder()}, and pip's index does not answer", _NO_INDEX)
    if version not in re.split(r"[\s,]+", done.stdout):
        says = f"{asset.name}: not in {cache_folder()}, and pip's index has no {asset.requirement}"
        return problem("assets", says, _NO_INDEX)
    return ok("assets", f"{asset.name}: not here yet; pip's index has it")


def _local(source: Source) -> Finding:
    path = Path(source.name).expanduser().absolute()
    try:
        if source.kind == "model":
            locate(source.name)
        else:
            path.open("rb").close()
    except (OSError, ValueError) as error:
        return problem("files", f"{source.name} cannot be read: {first_line(error)}", _EVERY_NODE)
    return ok("files", f"{path} can be read")


def _code(name: str) -> Finding:
    module = name.partition(":")[0]
    try:
        is_there = importlib.util.find_spec(module) is not None or Path(f"{module.replace('.', '/')}.py").is_file()
    except ImportError:  # a package above it is missing
        is_there = False
    if is_there:
        return ok("files", f"{name}: its module can be found")
    mend = "install it on every node, or call w2s in the folder that holds it"
    return problem("files", f"{name}: no module {module} here", mend)


def _public(source: Source) -> Finding | _OnHub:
    task = public.TASKS[source.name]
    commit = source.revision or task.revision
    if commit is None:
        mend = f"give task.revision, a commit's 40 digits of {task.dataset}"
        return problem("hub", f"{source.name} has no commit of its own", mend)
    if public.is_cached(replace(task, revision=commit)):
        return ok("hub", f"{source.name}: in the hub's cache")
    return _OnHub(source.name, task.dataset, commit, "dataset")


def _model(source: Source) -> Finding | _OnHub:
    repository, revision = written_out(source.name, source.revision)
    if revision is not None and hub_models.is_snapshot_cached(repository, revision):
        return ok("hub", f"{source.name}: in the hub's cache")
    return _OnHub(source.name, repository, revision, "model")


def _data(source: Source) -> Finding | _OnHub:
    try:
        return _OnHub(source.name, hub.parse(source.name).dataset, source.revision, "dataset")
    except ValueError as error:
        return problem("hub", str(error), "see docs/tasks.md")


def _asked_for(wanted: Sequence[_OnHub]) -> list[Finding]:
    """Asks the hub for each; one that does not answer is not asked again for the rest."""
    findings = list[Finding]()
    for place, one in enumerate(wanted):
        try:
            findings.append(_asked(one))
        except Exception as error:  # an open set: httpx, OSError, the hub's own of an offline mode
            names = ", ".join(rest.name for rest in wanted[place:])
            says = f"{names}: not in the hub's cache, and no hub answers: {first_line(error)}"
            return [*findings, problem("hub", says, _NO_HUB)]
    return findings


def _asked(wanted: _OnHub) -> Finding:
    """Asks whether the hub has that commit and gives it to whoever asks from here. Raises if it does not answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    name, repository, commit = wanted.name, wanted.repository, wanted.revision
    try:
        HfApi().repo_info(repository, revision=commit, repo_type=wanted.kind, timeout=_HUB_SECONDS)
        HfApi().auth_check(repository, repo_type=wanted.kind)
    except GatedRepoError:
        return problem("hub", f"{name}: the hub gives {repository} only to those who accepted its licence", _LICENCE)
    except RevisionNotFoundError:
        return problem("hub", f"{name}: the hub has no commit {commit} of {repository}", "see its revision in the spec")
    except RepositoryNotFoundError:
        return problem("hub", f"{name}: the hub has no {repository}, or a private one", f"see its name; {_TOKEN}")
    except HfHubHTTPError as error:
        is_login = error.response.status_code in (401, 403)
        return problem(
            "hub", f"{name}: the hub refuses {repository}: {first_line(error)}", _TOKEN if is_login else _HUB
        )
    return ok("hub", f"{name}: not here yet; the hub has it and gives it")
