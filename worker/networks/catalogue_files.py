"""The files of the encoders of the catalogue (`app.encoders.catalogue`), in the format of the transformers library.

The library has only EfficientNet: Tan and Le, ICML 2019, https://arxiv.org/abs/1905.11946. The Lite variant has ReLU6 and no
squeeze and excitation, so each squeeze gets weights that multiply by one.
"""

import json
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from transformers import EfficientNetConfig, EfficientNetModel

from app.encoders import downloads
from app.encoders.catalogue import PretrainedEncoder
from app.encoders.downloads import CONFIG_FILE, DownloadError
from worker.protocol.progress import BadParameters

IMAGE_SIZE = 224
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


@cache
def catalogue_folder(encoder: PretrainedEncoder) -> Path:
    """Return the folder of an installed encoder with its config and safetensors weights. Raise BadParameters."""
    if not encoder.package:
        try:
            return downloads.cached(encoder.repository)
        except DownloadError as error:
            raise BadParameters(_not_installed(encoder)) from error
    spec = find_spec(encoder.package)
    if spec is None or spec.origin is None:
        raise BadParameters(_not_installed(encoder))
    package = Path(spec.origin).parent
    folder = next((file.parent for file in sorted(package.rglob(CONFIG_FILE)) if any(file.parent.glob("*.safetensors"))), None)
    return folder or _converted(next(package.rglob("*.pth")))


def _not_installed(encoder: PretrainedEncoder) -> str:
    return f"The encoder {encoder.id} is not installed on this worker. Run: isthmus encoders pull {encoder.id}"


def _converted(weights: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="encoder-")) / "checkpoint"
    convert_efficientnet_lite(weights, folder)
    return folder


def convert_efficientnet_lite(weights: Path, folder: Path, side: int = IMAGE_SIZE) -> None:
    """Write a checkpoint of the transformers library from the weights of EfficientNet-Lite0."""
    config = EfficientNetConfig(
        image_size=side,
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
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    size = {"height": side, "width": side}
    processor = {"size": size, "do_center_crop": False, "image_mean": [MEAN] * 3, "image_std": [DEVIATION] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def _name(theirs: str) -> str:
    """Return the library's name of a weight such as `_blocks.3._bn1.weight`."""
    *block, part, kind = theirs.split(".")
    return f"encoder.blocks.{block[1]}.{BLOCK_LAYERS[part]}.{kind}" if block else f"{STEM_AND_HEAD[part]}.{kind}"


def _gate(name: str, value: Tensor) -> Tensor:
    """Return the initial weights: open gates; all others are replaced."""
    return torch.full_like(value, OPEN_GATE_LOGIT if name.endswith("squeeze_excite.expand.bias") else 0.0)
