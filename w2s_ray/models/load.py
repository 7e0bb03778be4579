"""From a local folder to a pretrained network and its tokenizer, cut to a depth.

The bytes were fetched and verified elsewhere; here they are only read. Any architecture that transformers' `AutoModel`
builds will do, encoder (BERT) or decoder (Llama, Qwen2, GPT-2, GPT-NeoX), from safetensors or from one GGUF file.
Weights are data: pickled ones are refused and no code of the folder is run.

A model cut at depth k returns `hidden_states[k]` of the whole model: 0 is the output of the embeddings, k that of layer
k. A decoder's final norm belongs to its last layer alone, as in `hidden_states[-1]`; so a cut model has none, and a
depth that equals the number of layers is the whole model. Weights are float32; there is no dropout and no pooler.
"""

import importlib.util
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from w2s_ray.models.head import LinearHead, TextClassifier

logging.disable_progress_bar()  # a bar per load would drown the sweep's own progress

_FINAL_NORMS = ("norm", "ln_f", "final_norm", "final_layer_norm", "final_layernorm")


class Cut(Protocol):
    """How much of a pretrained model is used; `Model` of a spec and `ModelIdentity` of a stage both say so."""

    @property
    def depth(self) -> int | None:
        """Layers kept; 0 keeps the embeddings, None keeps all."""

    @property
    def pooling(self) -> str:
        """`mean` or `last`."""

    @property
    def max_length(self) -> int:
        """Tokens kept of a text."""


def pretrained(auto_class: Any, folder: Path, **options: Any) -> Any:
    """Returns what an auto class of transformers reads from `folder`: float32, nothing pickled, none of its code run.

    Raises:
        ValueError: pickled, damaged or no weights, an adapter, several GGUF files.
        ImportError: a GGUF file without the packages that read it.
    """
    how: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "sdpa", "trust_remote_code": False}
    arguments = {**_arguments(folder), **how, **options}
    try:
        return auto_class.from_pretrained(folder, **arguments)
    except SafetensorError as error:
        if "os error" in str(error):
            raise  # the disk's trouble, which may pass
        raise ValueError(f"{folder}: its weights cannot be read ({error}); fetch or save them again") from error


def load_backbone(folder: Path, depth: int | None = None) -> nn.Module:
    """Loads the network in `folder` on the CPU, in float32 and in eval mode, cut to `depth`.

    Raises:
        ValueError: what `pretrained` refuses, a depth beyond the layers, an unknown layout of layers.
        ImportError: a GGUF file without the packages that read it.
    """
    backbone = pretrained(AutoModel, folder)
    config = backbone.config
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(f"{folder}: {config.model_type} is an encoder-decoder; name an encoder or a decoder")
    config.use_cache = False
    if hasattr(backbone, "pooler"):
        backbone.pooler = None  # unused: it would be trained by weight decay alone
    network: nn.Module = backbone if depth is None else truncate(backbone, depth)
    return network.eval()


def load_tokenizer(folder: Path) -> Any:
    """Loads the tokenizer in `folder`; one without a padding token pads with the end-of-text token.

    What is padding is said by the attention mask, never by a token id: id 0 is a real token of GPT-2 and Qwen.
    """
    gguf = _gguf(folder)
    extra = {"gguf_file": gguf} if gguf else {}
    tokenizer = AutoTokenizer.from_pretrained(folder, **extra, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ValueError(f"{folder}: the tokenizer has neither a padding nor an end-of-text token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_classifier(folder: Path, model: Cut, classes: int) -> tuple[TextClassifier, Any]:
    """Returns a network for finetuning all weights, and its tokenizer.

    The head is drawn from torch's global generator: call `seed_everything` first.
    """
    backbone = load_backbone(folder, model.depth)
    head = LinearHead(width_of(backbone), classes)
    return TextClassifier(backbone, model.pooling, head), load_tokenizer(folder)


def width_of(backbone: nn.Module) -> int:
    """Returns the width of the hidden states."""
    config: Any = backbone.config
    return int(config.hidden_size)


def truncate(backbone: nn.Module, depth: int) -> nn.Module:
    """Keeps the first `depth` layers of `backbone`, in place, and returns it. Raises ValueError where it cannot."""
    owner, name = _layers(backbone)
    layers: Any = getattr(owner, name)
    if not 0 <= depth <= len(layers):
        raise ValueError(f"depth must be within [0, {len(layers)}], the number of layers, got {depth}")
    if depth == len(layers):
        return backbone
    setattr(owner, name, nn.ModuleList(layers[:depth]))
    for norm in _FINAL_NORMS:
        if hasattr(owner, norm):
            setattr(owner, norm, nn.Identity())
    config: Any = backbone.config
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:depth]
    config.num_hidden_layers = depth  # Llama and its relatives count layers by this
    return backbone


def layers_of(backbone: nn.Module) -> nn.ModuleList:
    """Returns the layers of `backbone`, first to last."""
    owner, name = _layers(backbone)
    layers: nn.ModuleList = getattr(owner, name)
    return layers


def final_norms(backbone: nn.Module) -> list[nn.Module]:
    """Returns the norm that follows the last layer, if there is one."""
    owner, _ = _layers(backbone)
    return [getattr(owner, name) for name in _FINAL_NORMS if hasattr(owner, name)]


def _layers(backbone: nn.Module) -> tuple[nn.Module, str]:
    """Returns the module that holds the list of layers, and the list's name in it."""
    config: Any = backbone.config
    lists = [
        path
        for path, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers
    ]
    outermost = [path for path in lists if not any(path.startswith(f"{other}.") for other in lists)]
    if len(outermost) != 1:
        found = ", ".join(outermost) or "none"
        raise ValueError(f"cannot cut a {config.model_type} model: want one list of layers, found {found}")
    parent, _, name = outermost[0].rpartition(".")
    return backbone.get_submodule(parent), name


def _arguments(folder: Path) -> dict[str, Any]:
    """Returns the arguments that make `from_pretrained` read what is in `folder`, and nothing pickled."""
    if (folder / "adapter_config.json").exists():
        # transformers would take the base model from wherever this file says, which no fingerprint covers.
        raise ValueError(f"{folder} holds an adapter (adapter_config.json); merge it into its base model and save that")
    gguf = _gguf(folder)
    if any(folder.glob("*.safetensors")):
        return {"use_safetensors": True}
    if gguf is None:
        raise ValueError(
            f"{folder} has neither *.safetensors nor a *.gguf file; pickled weights (*.bin) can run code and are not "
            "read: convert them to safetensors"
        )
    missing = [package for package in ("gguf", "accelerate") if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(f"{gguf} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    return {"gguf_file": gguf}


def _gguf(folder: Path) -> str | None:
    """Returns the name of the GGUF file to read, None where safetensors are there."""
    files = sorted(path.name for path in folder.glob("*.gguf"))
    if not files or any(folder.glob("*.safetensors")):
        return None
    if len(files) > 1:
        raise ValueError(f"{folder} has several GGUF files, keep one: {', '.join(files)}")
    return files[0]
