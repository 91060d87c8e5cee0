"""Network = backbone + bottleneck + head, over the dict of inputs that the modality's encoder makes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from worker.distributed import data_parallel
from worker.distributed.sync_batch_norm import sync_batch_norm

Inputs = dict[str, Tensor]


class Network(nn.Module):
    """Features of (n, feature_width) from encoded inputs, logits of (n, classes) from features.

    The backbone takes the inputs as they come from the encoder (uint8 pictures, raw numbers): normalisation is part of
    it, so that it is part of the ONNX graph. `pretrained` says that the backbone's weights come from a checkpoint and want a
    smaller learning rate than the new layers.
    """

    def __init__(
        self, backbone: nn.Module, bottleneck: nn.Module, head: nn.Module, feature_width: int, *, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.bottleneck = bottleneck
        self.head = head
        self.feature_width = feature_width
        self.pretrained = pretrained

    def features(self, inputs: Inputs) -> Tensor:
        """(n, feature_width), what adaptation aligns."""
        return data_parallel.split_batch(self._features, inputs)

    def _features(self, inputs: Inputs) -> Tensor:
        features: Tensor = self.bottleneck(self.backbone(inputs))
        return features

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits (n, classes)."""
        logits: Tensor = self.head(self.features(inputs))
        return logits

    @property
    def is_dense(self) -> bool:
        """Whether most of the work is large matrix products: convolutions or a pretrained encoder."""
        return self.pretrained or any(isinstance(module, nn.Conv2d) for module in self.modules())

    def blocks(self) -> list[nn.Module]:
        """Parts that have weights, from the input to the output, for unfreezing; the head is the last."""
        parts = [*self.backbone.children(), self.bottleneck, self.head]
        return [part for part in parts if any(True for _ in part.parameters())]

    @contextmanager
    def source_statistics(self) -> Iterator[None]:
        """Inside the block every `DomainBatchNorm` uses the source's own running statistics, if it has any.

        While training it then has them. What is served uses the others.
        """
        norms = [module for module in self.modules() if isinstance(module, DomainBatchNorm)]
        for norm in norms:
            norm.on_source = True
        try:
            yield
        finally:
            for norm in norms:
                norm.on_source = False

    def copy_to_source_statistics(self) -> None:
        """Make the present running statistics the source's: before a network that knows the source learns from the target."""
        for norm in self.modules():
            if isinstance(norm, DomainBatchNorm):
                norm.copy_to_source_statistics()

    def forget_source_statistics(self) -> None:
        """What is known of a source is of another job's: until there are others, the running statistics are everybody's."""
        for norm in self.modules():
            if isinstance(norm, DomainBatchNorm):
                norm.has_source.fill_(False)


class DomainBatchNorm(nn.Module):
    """Batch norm over axis 1 with one affine map and, when asked for, running statistics of its own for the source.

    Chang et al., CVPR 2019, https://arxiv.org/abs/1906.03950, with shared scale and shift. Outside of
    `Network.source_statistics` it is plain batch norm: what the exported network uses are the statistics seen there.
    """

    weight: Tensor
    running_mean: Tensor
    running_var: Tensor
    source_mean: Tensor
    source_var: Tensor
    has_source: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.on_source = False
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        for domain in ("running", "source"):
            self.register_buffer(f"{domain}_mean", torch.zeros(channels))
            self.register_buffer(f"{domain}_var", torch.ones(channels))
        self.register_buffer("has_source", torch.zeros((), dtype=torch.bool))

    def copy_to_source_statistics(self) -> None:
        """The running statistics are the source's; others will come."""
        self.source_mean.copy_(self.running_mean)
        self.source_var.copy_(self.running_var)
        self.has_source.fill_(True)

    def forward(self, values: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.on_source and (self.training or self.has_source):
            mean, variance = self.source_mean, self.source_var
            if self.training:
                self.has_source.fill_(True)
        if self.training and data_parallel.is_split():
            return self._normalised_together(values, mean, variance)
        return F.batch_norm(values, mean, variance, self.weight, self.bias, self.training, self.momentum, self.epsilon)

    def _normalised_together(self, values: Tensor, running_mean: Tensor, running_variance: Tensor) -> Tensor:
        """By the moments of the whole batch, of which these are a part."""
        normal, mean, variance = sync_batch_norm(values, self.weight, self.bias, self.epsilon)
        running_mean.lerp_(mean, self.momentum)
        running_variance.lerp_(variance, self.momentum)
        return normal


def with_domain_norms(module: nn.Module) -> nn.Module:
    """The module, every batch norm in it a `DomainBatchNorm` with its weights and statistics.

    Plain batch norm that sees source and target in turns would serve statistics that are half of the one, half of the other.
    """
    for name, child in module.named_children():
        setattr(module, name, with_domain_norms(child))
    if not isinstance(module, _BatchNorm) or not module.affine or not module.track_running_stats:
        return module
    norm = DomainBatchNorm(module.num_features, 0.1 if module.momentum is None else module.momentum, module.eps)
    norm.load_state_dict(module.state_dict(), strict=False)
    norm.source_mean.copy_(norm.running_mean)  # the encoder knows neither domain: both start from what it has seen
    norm.source_var.copy_(norm.running_var)
    return norm


class PixelNormalizer(nn.Module):
    """uint8 pictures (n, height, width, channels) to normalised floats (n, channels, height, width), channels last in memory."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """`mean` and `std` of each channel, of values in 0..1."""
        super().__init__()
        means, deviations = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, std))
        self.register_buffer("scale", 1 / (255 * deviations), persistent=False)
        self.register_buffer("shift", -means / deviations, persistent=False)

    def forward(self, inputs: Inputs) -> Tensor:
        # channels first already here: with them last, ONNX Runtime would take a step of its loops for each pixel
        return inputs["pixels"].permute(0, 3, 1, 2) * self.scale + self.shift


def bottleneck(width: int, features: int, dropout: float) -> nn.Sequential:
    """From (n, width) to the features (n, features) that adaptation aligns."""
    return nn.Sequential(nn.Linear(width, features, bias=False), DomainBatchNorm(features), nn.ReLU(), nn.Dropout(dropout))


def batch_norms(network: Network) -> list[DomainBatchNorm | _BatchNorm]:
    """The parts that normalise by statistics of the data seen."""
    return [module for module in network.modules() if isinstance(module, DomainBatchNorm | _BatchNorm)]


@contextmanager
def frozen_batch_statistics(network: Network) -> Iterator[None]:
    """Inside the block batches leave no trace in the running statistics."""
    norms = batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
