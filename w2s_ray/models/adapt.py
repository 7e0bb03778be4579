"""Which weights of a pretrained classifier are trained, where it is not all of them: its last layers, or an adapter.

Burns et al. (arXiv 2312.09390, appendix B) found LoRA of no gain at any rank; it costs less memory.
"""

from typing import Any

from peft import LoraConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from w2s_ray.models.head import TextClassifier
from w2s_ray.models.load import final_norms, layers_of


def train_top(network: TextClassifier, layers: int) -> None:
    """Leaves the last `layers` layers, what follows them and the head to be trained, and freezes the rest.

    Raises:
        ValueError: the network has fewer layers.
    """
    found = layers_of(network.backbone)
    if not 1 <= layers <= len(found):
        raise ValueError(f"top_layers must be within [1, {len(found)}], the layers of this depth, got {layers}")
    network.backbone.requires_grad_(False)
    for part in (*list(found)[-layers:], *final_norms(network.backbone)):
        part.requires_grad_(True)


def add_lora(network: TextClassifier, rank: int, alpha: float) -> None:
    """Puts a trainable product B·A of rank `rank`, scaled by alpha / rank, beside every linear map; freezes the rest.

    B starts at zero, so at first nothing changes; A is drawn from torch's global generator. Source: arXiv 2106.09685.

    Raises:
        ValueError: the network has no linear maps, as at depth 0.
    """
    if not any(isinstance(part, nn.Linear | Conv1D) for part in network.backbone.modules()):
        raise ValueError("lora needs a depth of 1 or more: embeddings alone have no linear maps")
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", lora_dropout=0.0, bias="none")
    backbone: Any = network.backbone
    network.backbone = get_peft_model(backbone, config)
    network.eval()
