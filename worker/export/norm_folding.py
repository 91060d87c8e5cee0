"""Batch norms that follow a convolution or linear layer, as part of that layer's weights.

The tracer does the same. Done before, all weights of the graph are those of the module (`worker.export.graph_cache`).
"""

from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from worker.networks.base import DomainBatchNorm

Module = TypeVar("Module", bound=nn.Module)


def with_folded_norms(module: Module) -> Module:
    """Return a copy that computes the same in evaluation mode."""
    folded = deepcopy(module)
    for sequence in [child for child in folded.modules() if isinstance(child, nn.Sequential)]:
        for (_, layer), (name, norm) in pairwise(sequence.named_children()):
            if isinstance(layer, nn.Linear | nn.Conv2d) and isinstance(norm, DomainBatchNorm):
                _fold(layer, norm)
                setattr(sequence, name, nn.Identity())
    return folded


def _fold(layer: nn.Linear | nn.Conv2d, norm: DomainBatchNorm) -> None:
    fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    statistics = norm.running_mean, norm.running_var, norm.epsilon
    layer.weight, layer.bias = fuse(layer.weight, layer.bias, *statistics, norm.weight, norm.bias)
