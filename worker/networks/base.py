"""Network = backbone + bottleneck + head, applied to the dict of inputs from the modality's encoder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

MAX_DEVIATION = 20.0
"""Standard deviations at which the values of series are clipped."""

Inputs = dict[str, Tensor]
FEATURES = "backbone_features"
"""Name of the input that holds the features of a `FrozenBackbone`."""
SplitBatch = Callable[[Callable[[Inputs], Tensor], Inputs], Tensor]
"""Hook of a network: computes a function of inputs row by row, divided among the processes of a job."""
SyncBatchNorm = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor, Tensor] | None]
"""Hook of a norm: values, weight, bias and epsilon to normalised values, mean and variance of a divided batch."""


class Network(nn.Module):
    """Maps encoded inputs to features (n, feature_width) and features to logits (n, classes).

    The backbone takes the encoder's output (uint8 images, raw numbers) and normalises it, so that the ONNX graph contains the
    normalisation. `pretrained` marks backbone weights from a checkpoint, which train at a smaller learning rate.
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
        self.split_batch: SplitBatch | None = None

    def features(self, inputs: Inputs) -> Tensor:
        """Compute the features (n, feature_width) that adaptation aligns."""
        return self._features(inputs) if self.split_batch is None else self.split_batch(self._features, inputs)

    def _features(self, inputs: Inputs) -> Tensor:
        features: Tensor = self.bottleneck(self.backbone(inputs))
        return features

    def forward(self, inputs: Inputs) -> Tensor:
        """Compute the logits (n, classes)."""
        logits: Tensor = self.head(self.features(inputs))
        return logits

    @property
    def is_frozen(self) -> bool:
        """Return whether the backbone never changes, so that its features can be computed before the training."""
        return isinstance(self.backbone, FrozenBackbone)

    @property
    def is_dense(self) -> bool:
        """Return whether most of the work is large matrix products: convolutions or a trained encoder."""
        if self.is_frozen:
            return False
        return self.pretrained or any(isinstance(module, nn.Conv2d) for module in self.modules())

    def blocks(self) -> list[nn.Module]:
        """Return the modules with weights in order from input to head, for gradual unfreezing."""
        layers = [] if self.is_frozen else self.backbone.children()
        parts = [*layers, self.bottleneck, self.head]
        return [part for part in parts if any(True for _ in part.parameters())]

    @contextmanager
    def source_statistics(self, domain: int | None = None) -> Iterator[None]:
        """Use the source's running statistics in every `DomainBatchNorm` inside the block, if it has any.

        Training inside the block updates them. Serving uses the other statistics. Norms that know several source domains use
        the statistics of this one.
        """
        norms = [module for module in self.modules() if isinstance(module, DomainBatchNorm)]
        for norm in norms:
            norm.use_source_statistics, norm.source_domain = True, domain
        try:
            yield
        finally:
            for norm in norms:
                norm.use_source_statistics, norm.source_domain = False, None

    def copy_to_source_statistics(self) -> None:
        """Copy the running statistics to the source's, before a network trained on the source is adapted to the target."""
        for norm in self.modules():
            if isinstance(norm, DomainBatchNorm):
                norm.copy_to_source_statistics()

    def forget_source_statistics(self) -> None:
        """Drop the source statistics of an earlier job. The running statistics apply to both domains until there are new ones."""
        for norm in self.modules():
            if isinstance(norm, DomainBatchNorm):
                norm.forget_source_statistics()


class FrozenBackbone(nn.Module):
    """A pretrained backbone that never changes. Its features, computed before the training, may replace the inputs."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, inputs: Inputs) -> Tensor:
        features: Tensor = inputs[FEATURES] if FEATURES in inputs else self.backbone(inputs)
        return features


class DomainBatchNorm(nn.Module):
    """Batch norm over axis 1 with a shared affine map and separate running statistics for the source.

    Chang et al., CVPR 2019, https://arxiv.org/abs/1906.03950, with shared scale and shift. Outside of
    `Network.source_statistics` it is ordinary batch norm, and the exported network uses those statistics.
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
        self.sync_batch_norm: SyncBatchNorm | None = None
        self.use_source_statistics = False
        self.source_domain: int | None = None
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        for domain in ("running", "source"):
            self.register_buffer(f"{domain}_mean", torch.zeros(channels))
            self.register_buffer(f"{domain}_var", torch.ones(channels))
        self.register_buffer("has_source", torch.zeros((), dtype=torch.bool))

    def copy_to_source_statistics(self) -> None:
        """Copy the running statistics to the source's."""
        self.source_mean.copy_(self.running_mean)
        self.source_var.copy_(self.running_var)
        self.has_source.fill_(True)

    def forget_source_statistics(self) -> None:
        """Drop the source's statistics."""
        self.has_source.fill_(False)

    def forward(self, values: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.use_source_statistics and (self.training or self.has_source):
            mean, variance = self.source_mean, self.source_var
            if self.training:
                self.has_source.fill_(True)
        if self.training and self.sync_batch_norm is not None:
            normalized = self._normalize_across_ranks(self.sync_batch_norm, values, mean, variance)
            if normalized is not None:
                return normalized
        return F.batch_norm(values, mean, variance, self.weight, self.bias, self.training, self.momentum, self.epsilon)

    def _normalize_across_ranks(
        self, sync_batch_norm: SyncBatchNorm, values: Tensor, running_mean: Tensor, running_variance: Tensor
    ) -> Tensor | None:
        """Normalise by the statistics of the whole batch; return None unless this rank has a part of it."""
        synchronized = sync_batch_norm(values, self.weight, self.bias, self.epsilon)
        if synchronized is None:
            return None
        normalized, mean, variance = synchronized
        running_mean.lerp_(mean, self.momentum)
        running_variance.lerp_(variance, self.momentum)
        return normalized


def divide_batches(module: nn.Module, split_batch: SplitBatch, sync_batch_norm: SyncBatchNorm) -> None:
    """Let the networks and norms in the module use these hooks."""
    for child in module.modules():
        if isinstance(child, Network):
            child.split_batch = split_batch
        elif isinstance(child, DomainBatchNorm):
            child.sync_batch_norm = sync_batch_norm


def with_domain_norms(module: nn.Module) -> nn.Module:
    """Replace every batch norm in the module by a `DomainBatchNorm` with its weights and statistics.

    Ordinary batch norm that sees both domains alternately would serve a mixture of their statistics.
    """
    for name, child in module.named_children():
        setattr(module, name, with_domain_norms(child))
    if not isinstance(module, _BatchNorm) or not module.affine or not module.track_running_stats:
        return module
    norm = DomainBatchNorm(module.num_features, 0.1 if module.momentum is None else module.momentum, module.eps)
    norm.load_state_dict(module.state_dict(), strict=False)
    norm.source_mean.copy_(norm.running_mean)  # both domains start from the pretraining statistics
    norm.source_var.copy_(norm.running_var)
    return norm


class PixelNormalizer(nn.Module):
    """Maps uint8 images (n, h, w, channels) to normalised floats (n, channels, h, w), channels last in memory."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Store `mean` and `std` per channel, for values in 0..1."""
        super().__init__()
        means, deviations = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, std))
        self.register_buffer("scale", 1 / (255 * deviations), persistent=False)
        self.register_buffer("shift", -means / deviations, persistent=False)

    def forward(self, inputs: Inputs) -> Tensor:
        # permute before scaling: with channels last, ONNX Runtime takes one loop iteration per pixel
        return inputs["pixels"].permute(0, 3, 1, 2) * self.scale + self.shift


class SeriesNormalizer(nn.Module):
    """Maps series (n, channels, time) to standardised ones, with 0, the mean, for missing values.

    Values far from the mean are clipped: one broken reading must not decide.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Store `mean` and `std` per channel."""
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None], persistent=False)

    def forward(self, inputs: Inputs) -> Tensor:
        series = inputs["series"]
        deviations = (series - self.mean) / self.std
        return deviations.masked_fill(series.isnan(), 0).clamp(-MAX_DEVIATION, MAX_DEVIATION)


def bottleneck(width: int, features: int, dropout: float) -> nn.Sequential:
    """Build the layers from (n, width) to the features (n, features) that adaptation aligns."""
    return nn.Sequential(nn.Linear(width, features, bias=False), DomainBatchNorm(features), nn.ReLU(), nn.Dropout(dropout))


def frozen_bottleneck(width: int, features: int) -> nn.Sequential:
    """Build the bottleneck of a frozen backbone, which first standardises each domain."""
    return nn.Sequential(DomainBatchNorm(width), *bottleneck(width, features, dropout=0.5))


def batch_norms(network: Network) -> list[DomainBatchNorm | _BatchNorm]:
    """Return the modules with batch statistics that training changes."""
    frozen = {module for part in network.modules() if isinstance(part, FrozenBackbone) for module in part.modules()}
    return [module for module in network.modules() if isinstance(module, DomainBatchNorm | _BatchNorm) and module not in frozen]


@contextmanager
def frozen_batch_statistics(network: Network) -> Iterator[None]:
    """Leave the running statistics unchanged inside the block."""
    norms = batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
