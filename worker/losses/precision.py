"""Losses are computed in float32, also where the network's matrix products are not."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Loss = TypeVar("Loss", bound=Callable[..., Tensor | tuple[Tensor, Tensor]])


def in_float32(loss: Loss) -> Loss:
    """The loss without autocast: small differences of sums of products are lost in bfloat16."""

    @wraps(loss)
    def precise(values: Tensor, *args: Any) -> Any:
        with torch.autocast(values.device.type, enabled=False):
            return loss(values, *args)

    return cast(Loss, precise)
