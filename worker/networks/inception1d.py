"""InceptionTime: Fawaz et al., Data Mining and Knowledge Discovery 2020, https://arxiv.org/abs/1909.04939.

One network instead of the ensemble of five. The features are the averages of the last maps over time, as in the paper.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.modalities.base import TensorSpec
from app.modalities.series import SeriesPreprocessing
from app.networks.inception1d import Inception1dParams
from worker.networks.base import DomainBatchNorm, Network, SeriesNormalizer

BRANCHES = 4
RESIDUAL_EVERY = 3


class Inception(nn.Module):
    """Three convolutions of different lengths behind a bottleneck, and one behind a max-pool: (n, inputs, t) to (n, 4 f, t)."""

    def __init__(self, inputs: int, filters: int, kernel: int) -> None:
        super().__init__()
        self.reduce = nn.Conv1d(inputs, filters, 1, bias=False) if inputs > 1 else nn.Identity()
        reduced = filters if inputs > 1 else inputs
        self.convolutions = nn.ModuleList(
            nn.Conv1d(reduced, filters, size | 1, padding=size // 2, bias=False) for size in (kernel, kernel // 2, kernel // 4)
        )
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, padding=1), nn.Conv1d(inputs, filters, 1, bias=False))
        self.norm = DomainBatchNorm(BRANCHES * filters)

    def forward(self, series: Tensor) -> Tensor:
        reduced = self.reduce(series)
        maps = [convolution(reduced) for convolution in self.convolutions]
        return F.relu(self.norm(torch.cat([*maps, self.pooled(series)], dim=1)))


class Block(nn.Module):
    """Up to three modules with a shortcut around them."""

    def __init__(self, inputs: int, filters: int, kernel: int, depth: int) -> None:
        super().__init__()
        width = BRANCHES * filters
        self.modules_in_order = nn.Sequential(*(Inception(width if index else inputs, filters, kernel) for index in range(depth)))
        self.shortcut = nn.Sequential(nn.Conv1d(inputs, width, 1, bias=False), DomainBatchNorm(width))

    def forward(self, series: Tensor) -> Tensor:
        return F.relu(self.modules_in_order(series) + self.shortcut(series))


def build(params: Inception1dParams, preprocessing: SeriesPreprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    width = BRANCHES * params.filters
    blocks: list[nn.Module] = []
    for start in range(0, params.depth, RESIDUAL_EVERY):
        inputs = width if start else len(preprocessing.mean)
        blocks.append(Block(inputs, params.filters, params.kernel, min(RESIDUAL_EVERY, params.depth - start)))
    normalizer = SeriesNormalizer(preprocessing.mean, preprocessing.std)
    backbone = nn.Sequential(normalizer, *blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten())
    return Network(backbone, nn.Identity(), nn.Linear(width, classes), width)
