"""Batch norm by the moments of a whole batch of which each process has a part; `SyncBatchNorm` for CPUs too."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from worker.distributed.collectives import all_gather, all_reduce_sum


def sync_batch_norm(values: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return this process's values (n, c, ...) normalised, and the whole batch's mean and unbiased variance (c,).

    Every process has equally many values. The weights' gradients are those of its own.
    """
    normalized, mean, variance = _SyncBatchNorm.apply(values, weight, bias, epsilon)  # type: ignore[no-untyped-call]
    count = _count(values)
    return normalized, mean, variance * (count / (count - 1))


def _count(values: Tensor) -> int:
    """Count a channel's values in the whole batch."""
    return dist.get_world_size() * values.numel() // values.shape[1]


class _SyncBatchNorm(torch.autograd.Function):
    """The fused kernels of evaluation; in training, dx = w s (g - E g - z E g z), z = s (x - m), E over the whole batch."""

    @staticmethod
    def forward(context: Any, values: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        precise = values.to(torch.promote_types(values.dtype, torch.float32))
        moments = torch.stack(torch.batch_norm_update_stats(precise, None, None, 0.0))
        means, variances = all_gather(moments).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        context.epsilon = epsilon
        context.save_for_backward(values, weight, mean, variance)
        context.mark_non_differentiable(mean, variance)
        return F.batch_norm(values, mean, variance, weight, bias, False, 0.0, epsilon), mean, variance

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        values, weight, mean, variance = context.saved_tensors
        constants = (gradients[0], values, weight, mean, variance, None, None, False, context.epsilon, [True, True, True])
        direct, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(*constants)
        mean_product, mean_gradient = all_reduce_sum(torch.stack([for_weight, for_bias])) / _count(values)
        scale = (variance + context.epsilon).rsqrt()
        slope = -weight * scale.square() * mean_product
        offset = -weight * scale * mean_gradient - slope * mean
        shape = (1, -1, *[1] * (values.ndim - 2))
        through_moments = torch.addcmul(offset.view(shape), values, slope.view(shape))
        return (direct + through_moments).to(values.dtype), for_weight, for_bias, None
