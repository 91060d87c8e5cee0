"""Losses in float32, independent of the precision of the network."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Loss = TypeVar("Loss", bound=Callable[..., Tensor | tuple[Tensor, Tensor]])


def in_float32(loss: Loss) -> Loss:
    """Compute the loss without autocast, because bfloat16 loses small differences of large sums."""

    @wraps(loss)
    def precise(values: Tensor, *args: Any) -> Any:
        with torch.autocast(values.device.type, enabled=False):
            return loss(values, *args)

    return cast(Loss, precise)
