"""The convolutions of the digits network of Ganin et al., JMLR 2016, figure 4a, with batch norm and a bottleneck.

The max-pool comes before norm and ReLU: the same function up to the statistics, and a quarter of the work. The paper aligns
the flattened maps and classifies them with two hidden layers; aligning a bottleneck of 256 units with norm and dropout, and
classifying that linearly, was better by points on every pair of digits.
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
        *([nn.AvgPool2d(window)] if window > 1 else []),  # of one pixel it changes nothing, but takes its time
        nn.Flatten(),
    )
    width = SECOND * (side // window) ** 2
    return Network(backbone, bottleneck(width, BOTTLENECK, DROPOUT), nn.Linear(BOTTLENECK, classes), BOTTLENECK)


def _stage(inputs: int, outputs: int, padding: int) -> nn.Sequential:
    # a bias would be taken away again by the norm
    convolution = nn.Conv2d(inputs, outputs, 5, padding=padding, bias=False)
    return nn.Sequential(convolution, nn.MaxPool2d(2), DomainBatchNorm(outputs), nn.ReLU())


def _pooled(side: int, padding: int) -> int:
    """Height of a stage's maps for pictures of this height."""
    return (side + 2 * padding - 4) // 2
