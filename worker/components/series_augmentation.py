"""Random augmentation of series (n, channels, time). Each series is augmented independently.

Um et al., ICMI 2017, https://arxiv.org/abs/1706.00527, for wearable sensors. Strengths refer to the mean and the standard
deviation of each channel of a series, so that they do not depend on its unit.
"""

import torch
from torch import Tensor

SCALE = 0.2
"""Standard deviation of the logarithm of the factor on a whole series."""
MAX_SHIFT = 0.1
CHANNEL_SCALE = 0.2
MAX_JITTER = 0.2
MASK_FRACTION = 0.2


def scale_and_shift(series: Tensor) -> Tensor:
    """Scale each series around its mean, and shift it by up to 1/10 of its length, repeating the values at the ends."""
    mean = series.mean(2, keepdim=True)
    factor = torch.exp(SCALE * torch.randn(len(series), 1, 1, device=series.device))
    return _shifted((series - mean) * factor + mean)


def distort(series: Tensor) -> Tensor:
    """Scale each channel, add jitter and mask a random interval by the mean of the channel."""
    count, channels, length = series.shape
    mean = series.mean(2, keepdim=True)
    deviations = series - mean
    jitter = MAX_JITTER * torch.rand(count, 1, 1, device=series.device) * deviations.square().mean(2, keepdim=True).sqrt()
    deviations = deviations * torch.exp(CHANNEL_SCALE * torch.randn(count, channels, 1, device=series.device))
    deviations = deviations + jitter * torch.randn_like(series)
    start = (1 + MASK_FRACTION) * torch.rand(count, 1, 1, device=series.device) - MASK_FRACTION
    position = torch.arange(length, device=series.device) / length - start
    return deviations.masked_fill((position >= 0) & (position < MASK_FRACTION), 0) + mean


def _shifted(series: Tensor) -> Tensor:
    length = series.shape[2]
    steps = int(MAX_SHIFT * length)
    shifts = torch.randint(-steps, steps + 1, (len(series), 1), device=series.device)
    indices = (torch.arange(length, device=series.device) + shifts).clamp(0, length - 1)
    return series.gather(2, indices.unsqueeze(1).expand_as(series))
