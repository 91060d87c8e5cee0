"""Tiny random encoders of several kinds, and inputs for them."""

from typing import Any

import torch
from transformers import (
    CLIPConfig,
    ConvNextConfig,
    ResNetConfig,
    RobertaConfig,
    T5Config,
    ViTConfig,
)

from app.modalities.image import ImagePreprocessing
from app.modalities.text import TextPreprocessing
from worker.networks.base import Inputs

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}

TOWERS = CLIPConfig(vision_config={"image_size": 32, "patch_size": 8, **SMALL}, text_config={"vocab_size": 99, **SMALL})

ENCODERS = {
    "text-roberta": RobertaConfig(vocab_size=99, max_position_embeddings=42, **SMALL),
    "text-t5": T5Config(vocab_size=99, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16),
    "image-vit": ViTConfig(image_size=32, patch_size=8, **SMALL),
    "image-convnext": ConvNextConfig(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1]),
    "image-resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic"),
    "image-clip": TOWERS,
}

TEXTS = TextPreprocessing(kind="tokens", vocabulary_size=99, max_length=40)

IMAGES = ImagePreprocessing(size=(32, 32), channels=3, resize=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)


def tokens() -> Inputs:
    mask = torch.ones(4, 12, dtype=torch.int64)
    mask[1, 5:], mask[2, 1:] = 0, 0
    return {"input_ids": torch.randint(3, 99, (4, 12)) * mask, "attention_mask": mask}


def pixels() -> Inputs:
    return {"pixels": torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)}
