"""Public ladders of pretrained models by short name: `pythia-410m` is a hub id with the commit that pins it.

A ladder is one family in several sizes, trained alike, as weak-to-strong pairings want it: Pythia (EleutherAI, all on
the same data in the same order, arXiv 2304.01373), Qwen2.5 (arXiv 2412.15115, base models) and GPT-2, the ladder of the
released code of Burns et al. docs/models.md says how commits and sizes were found.

A short name means the same as id and commit written out, and has the same address. `revision:` beside it asks for
another commit. Nothing is downloaded before a stage needs it; `huggingface_hub` keeps it in its cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from w2s_ray.dimensions import Dimensions
from w2s_ray.files import from_json


@dataclass(frozen=True)
class HubModel:
    """A model of a hub.

    Attributes:
        name: how specs name it.
        repository: its id on the hub.
        revision: the commit that pins it.
        dimensions: its size; all parameters, input and output embeddings included.
        megabytes: of its safetensors; None where no source says.
        licence: of the weights.
    """

    name: str
    repository: str
    revision: str
    dimensions: Dimensions
    megabytes: float | None
    licence: str


def _pythia(size: str, revision: str, dimensions: Dimensions, megabytes: float | None) -> HubModel:
    return HubModel(f"pythia-{size}", f"EleutherAI/pythia-{size}", revision, dimensions, megabytes, "Apache-2.0")


def _qwen(size: str, revision: str, dimensions: Dimensions, licence: str = "Apache-2.0") -> HubModel:
    megabytes = round(2 * dimensions.parameters / 1e6, 1)  # bfloat16
    return HubModel(f"qwen2.5-{size.lower()}", f"Qwen/Qwen2.5-{size}", revision, dimensions, megabytes, licence)


def _gpt2(name: str, revision: str, dimensions: Dimensions) -> HubModel:
    # The hub knows these by their name alone, and so do specs that were written before the name stood here.
    return HubModel(name, name, revision, dimensions, None, "MIT")


_ALL = (
    _pythia("70m", "a39f36b100fe8a5377810d56c3f4789b9c53ac42", Dimensions(6, 512, 70_426_624), None),
    _pythia("160m", "50f5173d932e8e61f858120bcb800b97af589f46", Dimensions(12, 768, 162_322_944), 375),
    _pythia("410m", "9879c9b5f8bea9051dcb0e68dff21493d67e9d4f", Dimensions(24, 1024, 405_334_016), None),
    _pythia("1b", "f73d7dcc545c8bd326d8559c8ef84ffe92fea6b2", Dimensions(16, 2048, 1_011_781_632), 2_090.7),
    _pythia("1.4b", "fedc38a16eea3bd36a96b906d78d11d2ce18ed79", Dimensions(24, 2048, 1_414_647_808), 2_930),
    _pythia("2.8b", "2a259cdd96a4beb1cdf467512e3904197345f6a9", Dimensions(32, 2560, 2_775_208_960), 5_680),
    _pythia("6.9b", "c0e3eee36dc47af0c49f361c74cfe459c09f7f23", Dimensions(32, 4096, 6_857_302_016), 13_850),
    _pythia("12b", "bb1e3e710cdf6b524461d543cfb5ba773f0a81b6", Dimensions(36, 5120, 11_846_072_320), 23_850),
    _qwen("0.5B", "060db6499f32faf8b98477b0a26969ef7d8b9987", Dimensions(24, 896, 494_032_768)),
    _qwen("1.5B", "8faed761d45a263340a0528343f099c05c9a4323", Dimensions(28, 1536, 1_543_714_304)),
    _qwen("3B", "3aab1f1954e9cc14eb9509a215f9e5ca08227a9b", Dimensions(36, 2048, 3_085_938_688), "Qwen Research"),
    _qwen("7B", "d149729398750b98c0af14eb82c78cfe92750796", Dimensions(28, 3584, 7_615_616_512)),
    _qwen("14B", "97e1e76335b7017d8f67c08a19d103c0504298c9", Dimensions(48, 5120, 14_770_033_664)),
    _gpt2("gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e", Dimensions(12, 768, 124_439_808)),
    _gpt2("gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da", Dimensions(24, 1024, 354_823_168)),
    _gpt2("gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519", Dimensions(36, 1280, 774_030_080)),
    _gpt2("gpt2-xl", "15ea56dee5df4983c59b2538573817e1667135e2", Dimensions(48, 1600, 1_557_611_200)),
)
HUB_MODELS: Mapping[str, HubModel] = MappingProxyType({model.name: model for model in _ALL})
"""Every hub model that has a short name."""

_BY_ID: Mapping[str, HubModel] = MappingProxyType({model.repository: model for model in _ALL})


def written_out(source: str, revision: str | None) -> tuple[str, str | None]:
    """Returns hub id and commit that a short name stands for; anything else as it is."""
    model = HUB_MODELS.get(source)
    return (source, revision) if model is None else (model.repository, revision or model.revision)


def dimensions_of_hub(repository: str) -> Dimensions | None:
    """Returns the size of a hub model; None if it is not listed here. It does not depend on the commit."""
    model = _BY_ID.get(repository)
    return None if model is None else model.dimensions


def is_cached(model: HubModel) -> bool:
    """Whether config and all weights of a model lie in the hub's cache."""
    return is_snapshot_cached(model.repository, model.revision)


def is_snapshot_cached(repository: str, revision: str) -> bool:
    """Does what `is_cached` does, for any model of the hub."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json", revision=revision)
    if not isinstance(config, str):
        return False
    folder = Path(config).parent
    index = folder / "model.safetensors.index.json"
    shards = from_json(index.read_bytes())["weight_map"].values() if index.exists() else ()
    return all((folder / name).exists() for name in {*shards} or {"model.safetensors"})
