"""The convolutions of the digits network of Ganin et al., JMLR 2016, figure 4a, with batch norm and a bottleneck.

The max-pool precedes norm and ReLU: the same function up to the statistics, at a quarter of the cost. The paper aligns the
flattened maps and classifies them with two hidden layers. A bottleneck of 256 units with norm, dropout and a linear head was
better by several points on every pair of digits datasets.
"""

from torch import nn

from app.modalities.base import TensorSpec
from app.modalities.image import ImagePreprocessing
from app.networks.cnn import CnnParams
from worker.networks.base import DomainBatchNorm, Network, PixelNormalizer, bottleneck

FIRST, SECOND, BOTTLENECK = 32, 48, 256
DROPOUT = 0.5
SIDE = 4


def build(params: CnnParams, preprocessing: ImagePreprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    padding = 0 if params.input_size >= 16 else 2
    side = _pooled(_pooled(params.input_size, padding), padding)
    window = max(1, side // SIDE)
    backbone = nn.Sequential(
        PixelNormalizer(preprocessing.mean, preprocessing.std),
        _stage(preprocessing.channels, FIRST, padding),
        _stage(FIRST, SECOND, padding),
        *([nn.AvgPool2d(window)] if window > 1 else []),  # a window of one pixel only costs time
        nn.Flatten(),
    )
    width = SECOND * (side // window) ** 2
    return Network(backbone, bottleneck(width, BOTTLENECK, DROPOUT), nn.Linear(BOTTLENECK, classes), BOTTLENECK)


def _stage(inputs: int, outputs: int, padding: int) -> nn.Sequential:
    # the norm would cancel a bias
    convolution = nn.Conv2d(inputs, outputs, 5, padding=padding, bias=False)
    return nn.Sequential(convolution, nn.MaxPool2d(2), DomainBatchNorm(outputs), nn.ReLU())


def _pooled(side: int, padding: int) -> int:
    """Return the side of a stage's output for this side of its input."""
    return (side + 2 * padding - 4) // 2
