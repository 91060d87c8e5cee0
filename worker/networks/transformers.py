"""Pretrained text and image encoders of the `transformers` library.

Weights are read from safetensors only; remote code is disabled. The features of a text are the mean of its tokens, as in
Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084. The features of an image are its class token, or the mean over
its patches if the encoder has none. Both are scaled to zero mean and unit variance, so that one learning rate suits the heads
of all encoders.
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils.tqdm import disable_progress_bars
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from app.encoders.downloads import IMAGE_PROCESSOR, TOKENIZER, VOCABULARIES, WEIGHTS
from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.image import ImagePreprocessing
from app.modalities.text import TextPreprocessing
from app.networks.transformers import TransformersParams
from app.services.pretrained_sources import CONFIG_FILE, label
from app.settings import Settings
from worker.networks.base import FrozenBackbone, Inputs, Network, PixelNormalizer, frozen_bottleneck, with_domain_norms
from worker.networks.checkpoint_files import linked_checkpoint
from worker.networks.layers import DomainScaler
from worker.protocol.progress import BadParameters

FROZEN_FEATURES = 256
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

disable_progress_bars()
transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def local_checkpoint(pretrained: str) -> Path:
    """Return a folder with the files of an allowed checkpoint, downloading a Hub id. For a text encoder it has a tokenizer.json.

    Raises BadParameters if there is no allowed checkpoint, or none with safetensors.
    """
    folder = linked_checkpoint(pretrained, Settings(_env_file=None))
    if not (folder / CONFIG_FILE).is_file():
        raise BadParameters(f"{pretrained} has no {CONFIG_FILE}: it is not a checkpoint of the transformers library.")
    if not any(folder.glob(WEIGHTS)):
        raise BadParameters(f"{pretrained} has no model.safetensors; weights in other formats are not loaded.")
    if not (folder / TOKENIZER).exists() and not (folder / IMAGE_PROCESSOR).exists():
        _add_tokenizer(folder, pretrained)
    return folder


def _add_tokenizer(folder: Path, pretrained: str) -> None:
    """Add a tokenizer.json converted from older tokenizer files."""
    if not any(file for pattern in VOCABULARIES for file in folder.glob(pattern)):
        raise BadParameters(f"{pretrained} has neither a tokenizer nor a {IMAGE_PROCESSOR}.")
    try:
        AutoTokenizer.from_pretrained(folder, **LOCAL).backend_tokenizer.save(str(folder / TOKENIZER))
    except Exception as error:  # the `tokenizers` library raises bare exceptions
        raise BadParameters(f"The tokenizer of {pretrained} cannot be converted to a {TOKENIZER}.") from error


def self_contained_params(params: TransformersParams) -> TransformersParams:
    """Add the encoder's configuration to the parameters, so that they build the network without the checkpoint."""
    if params.config is not None:
        return params
    config = json.loads(AutoConfig.from_pretrained(local_checkpoint(params.pretrained), **LOCAL).to_json_string())
    config.pop("_name_or_path", None)
    return params.model_copy(update={"config": config, "pretrained": label(params.pretrained)})


def build(params: TransformersParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """Build the network with the checkpoint's weights, or with random ones if `params.config` is set. Raise BadParameters."""
    encoder = _encoder(params, preprocessing.modality)
    if isinstance(preprocessing, TextPreprocessing):
        backbone: TextEncoder | ImageEncoder = TextEncoder(encoder)
        width = _width(backbone, specs, preprocessing.max_length, params.pretrained)
    else:
        assert isinstance(preprocessing, ImagePreprocessing)
        backbone = ImageEncoder(encoder, preprocessing)
        width = _width(backbone, specs, 0, params.pretrained)
    if params.frozen and params.head != "bottleneck":
        scaler = DomainScaler(width, has_map=params.head == "aligned")
        return Network(FrozenBackbone(backbone), scaler, nn.Linear(width, classes), width, pretrained=True)
    if params.frozen:
        bottleneck = frozen_bottleneck(width, FROZEN_FEATURES)
        head = nn.Linear(FROZEN_FEATURES, classes)
        return Network(FrozenBackbone(backbone), bottleneck, head, FROZEN_FEATURES, pretrained=True)
    with_domain_norms(encoder)
    head = nn.Linear(width, classes)
    return TransformersNetwork(backbone, nn.LayerNorm(width, elementwise_affine=False), head, width, pretrained=True)


def _encoder(params: TransformersParams, modality: str) -> PreTrainedModel:
    """Return the encoder of this modality: the whole model, one without its decoder, or one of two towers."""
    try:
        if params.config is not None:
            config = AutoConfig.for_model(**params.config)
            model = AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)  # type: ignore[no-untyped-call]
        else:
            folder = local_checkpoint(params.pretrained)
            model = AutoModel.from_pretrained(folder, **LOCAL, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadParameters(f"{params.pretrained} cannot be loaded: its config.json or its weights are not usable.") from error
    tower = getattr(model, "text_model" if modality == "text" else "vision_model", model)
    encoder: PreTrainedModel = tower.get_encoder() if tower.config.is_encoder_decoder else tower
    return encoder


@torch.no_grad()
def _width(backbone: nn.Module, specs: dict[str, TensorSpec], longest: int, pretrained: str) -> int:
    """Return the width of the features, from one example of maximum size. Raise BadParameters if it does not fit."""
    sizes = {name: [longest if size < 0 else size for size in spec.shape] for name, spec in specs.items()}
    # token 2 is never padding; some encoders give padding no position
    values = {name: 2 if name == "input_ids" else 1 for name in specs}
    example = {
        name: torch.full((1, *size), values[name], dtype=getattr(torch, specs[name].dtype)) for name, size in sizes.items()
    }
    try:
        return int(backbone.eval()(example).shape[1])
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        shapes = ", ".join(f"{name} {tuple(tensor.shape[1:])}" for name, tensor in example.items())
        raise BadParameters(f"{pretrained} does not take these inputs: {shapes}.") from error
    finally:
        backbone.train()


class TextEncoder(nn.Module):
    """Maps token ids and attention mask (n, length) to the mean of the last layer's tokens (n, width)."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: Inputs) -> Tensor:
        mask = inputs["attention_mask"]
        tokens: Tensor = self.encoder(input_ids=inputs["input_ids"], attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


class ImageEncoder(nn.Module):
    """Maps uint8 images (n, h, w, channels) to the last layer's class token or mean over patches (n, width)."""

    def __init__(self, encoder: PreTrainedModel, preprocessing: ImagePreprocessing) -> None:
        super().__init__()
        self.pixels = PixelNormalizer(preprocessing.mean, preprocessing.std)
        self.encoder = encoder
        self.has_class_token = any(name.endswith(("cls_token", "class_embedding")) for name, _ in encoder.named_parameters())

    def forward(self, inputs: Inputs) -> Tensor:
        pixels = self.pixels(inputs).contiguous()
        patches: Tensor = self.encoder(pixel_values=pixels).last_hidden_state
        if patches.ndim == 4:  # convolutional encoders: (n, width, height, width)
            return patches.mean((2, 3))
        return patches[:, 0] if self.has_class_token else patches.mean(1)


class TransformersNetwork(Network):
    """A network that unfreezes layer by layer. The layers are in the encoder's longest list of modules."""

    def blocks(self) -> list[nn.Module]:
        """Return the modules outside of the layers (embeddings), the layers and the head."""
        lists = [module for module in self.backbone.modules() if isinstance(module, nn.ModuleList)]
        layers = max(lists, key=len, default=nn.ModuleList())
        rest = nn.ModuleList(_modules_outside(self.backbone, layers))
        return [part for part in (rest, *layers, self.bottleneck, self.head) if any(True for _ in part.parameters())]


def _modules_outside(module: nn.Module, layers: nn.ModuleList) -> list[nn.Module]:
    """Return the largest submodules that contain none of the layers."""
    if module is layers:
        return []
    if layers not in module.modules():
        return [module]
    return [part for child in module.children() for part in _modules_outside(child, layers)]
