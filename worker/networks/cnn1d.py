"""The CNN of AdaTime: Ragab et al., ACM TKDD 2023, https://arxiv.org/abs/2203.08321.

The first convolution has about the kernels and strides of the paper: 5 and 1 for windows of wearables (128 steps), 25 and 6 for
vibration (5120 steps). The paper classifies the averaged maps; a bottleneck with norm and dropout follows here, as in `cnn`.
"""

from torch import nn

from app.modalities.base import TensorSpec
from app.modalities.series import SeriesPreprocessing
from app.networks.cnn1d import Cnn1dParams
from worker.networks.base import DomainBatchNorm, Network, SeriesNormalizer, bottleneck

KERNEL = 8
BOTTLENECK = 256
STEPS_AFTER_STRIDE, MAX_STRIDE = 128, 6


def build(params: Cnn1dParams, preprocessing: SeriesPreprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    width, wide = params.width, 2 * params.width
    stride = params.stride or min(max(1, preprocessing.length // STEPS_AFTER_STRIDE), MAX_STRIDE)
    kernel = params.kernel or 4 * stride + 1
    backbone = nn.Sequential(
        SeriesNormalizer(preprocessing.mean, preprocessing.std),
        _stage(len(preprocessing.mean), width, kernel, stride),
        nn.Dropout(params.dropout),
        _stage(width, wide, KERNEL, 1),
        _stage(wide, wide, KERNEL, 1),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
    )
    return Network(backbone, bottleneck(wide, BOTTLENECK, params.dropout), nn.Linear(BOTTLENECK, classes), BOTTLENECK)


def _stage(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    # the norm would cancel a bias; the max-pool precedes norm and ReLU, the same function at half the cost
    convolution = nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.MaxPool1d(2, padding=1), DomainBatchNorm(outputs), nn.ReLU())
