"""Random augmentation of training images and series. Other inputs are unchanged.

Images are batches (n, height, width, channels) of 0 to 255. Each image is augmented independently. The exported graph
contains no augmentation. The operations follow RandAugment, Cubuk et al., 2020, https://arxiv.org/abs/1909.13719.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from app.algorithms.base import AlgorithmParams
from app.modalities.base import Augmentable
from worker.components import series_augmentation
from worker.data.batch import Batch
from worker.networks.base import Inputs

AFFINE_STRENGTH = 0.3
MAX_SHIFT = 0.05
INVERSION_PROBABILITY = 0.3
CUTOUT_FRACTION = 0.25


def augment_batch(batch: Batch, params: AlgorithmParams) -> Batch:
    """Return the batch with the augmentation of the parameters."""
    if params.augmentation == "none":
        return batch
    source_x = augment(batch.source_x, batch.augmentable, params.augmentation)
    if params.augment_domains == "source" or params.augments_target_itself:
        return replace(batch, source_x=source_x)
    return replace(batch, source_x=source_x, target_x=augment(batch.target_x, batch.augmentable, params.augmentation))


def augment(inputs: Inputs, augmentable: Mapping[str, Augmentable], kind: str) -> Inputs:
    """Return the inputs with `affine` or `strong` augmentation of those in `augmentable`."""
    return {name: _augmented(values, augmentable.get(name), kind) for name, values in inputs.items()}


def _augmented(values: Tensor, what: Augmentable | None, kind: str) -> Tensor:
    if what is None:
        return values
    if what == "series":
        moved = series_augmentation.scale_and_shift(values)
        return series_augmentation.distort(moved) if kind == "strong" else moved
    moved = affine(values.float(), AFFINE_STRENGTH)
    return photometric(moved) if kind == "strong" else moved


def affine(pixels: Tensor, strength: float) -> Tensor:
    """Rotate, scale, stretch, shear and shift each image, repeating the border pixels outside.

    Strength s means up to 45 s degrees, a scale of exp(s), a stretch of exp(s / 2), a shear of s and a shift of 1/20 of the
    side.
    """
    images = pixels.permute(0, 3, 1, 2)
    grid = F.affine_grid(_affine_matrices(len(pixels), strength, pixels.device), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved.permute(0, 2, 3, 1).contiguous()


def photometric(pixels: Tensor) -> Tensor:
    """Invert some images, change contrast, brightness and colours, add noise and cut out a square."""
    count, height, width, channels = pixels.shape
    values = pixels / 255
    values = torch.where(_draw(pixels, 0, 1) < INVERSION_PROBABILITY, 1 - values, values)
    contrast, colour = torch.exp(_draw(pixels, -0.7, 0.7)), torch.exp(_draw(pixels, -0.4, 0.4, channels))
    middle = values.mean((1, 2), keepdim=True)
    values = (values - middle) * contrast * colour + middle + _draw(pixels, -0.3, 0.3) + _draw(pixels, -0.2, 0.2, channels)
    values = values + _draw(pixels, 0, 0.1) * torch.randn(count, height, width, 1, device=pixels.device)
    return torch.where(_cutout_mask(pixels), 0.5, values.clamp(0, 1)) * 255


def _draw(pixels: Tensor, low: float, high: float, channels: int = 1) -> Tensor:
    """Draw a number per image, or per channel: (n, 1, 1, channels)."""
    return low + (high - low) * torch.rand(len(pixels), 1, 1, channels, device=pixels.device)


def _cutout_mask(pixels: Tensor) -> Tensor:
    """Return the mask (n, height, width, 1) of a random square of 1/4 of the side. DeVries and Taylor, 2017, Cutout."""
    _, height, width, _ = pixels.shape
    rows = torch.arange(height, device=pixels.device).reshape(1, -1, 1, 1) / height
    columns = torch.arange(width, device=pixels.device).reshape(1, 1, -1, 1) / width
    down, across = rows - _draw(pixels, -CUTOUT_FRACTION, 1), columns - _draw(pixels, -CUTOUT_FRACTION, 1)
    return (down >= 0) & (down < CUTOUT_FRACTION) & (across >= 0) & (across < CUTOUT_FRACTION)


def _affine_matrices(count: int, strength: float, device: torch.device) -> Tensor:
    """Return random maps (n, 2, 3) from coordinates of the new image to the old one, both from -1 to 1."""
    draws = 2 * torch.rand(6, count, device=device) - 1
    angle, scale, stretch, shear = draws[:4] * strength
    right, down = draws[4:] * 2 * MAX_SHIFT
    cosine = torch.cos(angle * math.pi / 4) * torch.exp(scale)
    sine = torch.sin(angle * math.pi / 4) * torch.exp(scale)
    aspect = torch.exp(stretch / 2)
    across = torch.stack([cosine, shear * cosine - sine, right], dim=1)
    along = torch.stack([(shear * cosine + sine) / aspect, cosine * aspect, down], dim=1)
    return torch.stack([across, along], dim=1)
