"""ResNet-18 for small images: He et al., CVPR 2016, https://arxiv.org/abs/1512.03385, with the 3x3 stem used on CIFAR."""

from torch import Tensor, nn
from torch.nn import functional as F

from app.modalities.base import TensorSpec
from app.modalities.image import ImagePreprocessing
from app.networks.resnet import ResnetParams
from worker.networks.base import DomainBatchNorm, Network, PixelNormalizer, bottleneck

BOTTLENECK = 256


class Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut: (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(inputs, outputs, 3, stride), nn.ReLU(), *_convolution(outputs, outputs, 3, 1))
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Sequential(*_convolution(inputs, outputs, 1, stride)) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.body(maps) + self.shortcut(maps))


def build(params: ResnetParams, preprocessing: ImagePreprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    width = params.width
    backbone = nn.Sequential(
        PixelNormalizer(preprocessing.mean, preprocessing.std),
        nn.Sequential(*_convolution(preprocessing.channels, width, 3, 1), nn.ReLU()),
        _stage(width, width, 1),
        _stage(width, 2 * width, 2),
        _stage(2 * width, 4 * width, 2),
        _stage(4 * width, 8 * width, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Network(backbone, bottleneck(8 * width, BOTTLENECK, 0), nn.Linear(BOTTLENECK, classes), BOTTLENECK)


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Residual(inputs, outputs, stride), Residual(outputs, outputs, 1))


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False), DomainBatchNorm(outputs)
