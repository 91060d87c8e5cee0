"""Random changes of pictures that leave their class as it is. Only while training; the exported graph has none of it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHIFT = 0.1


class RandomAffine(nn.Module):
    """Rotates, scales, stretches, shears and shifts each picture (n, c, h, w) anew; the border's pixels go on outside.

    With strength s: by up to 45 s degrees, factors of exp(s) and (stretch) exp(s / 2), shear s, and a tenth of the side.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, pictures: Tensor) -> Tensor:
        if not self.training or not self.strength:
            return pictures
        grid = F.affine_grid(self._maps(pictures), list(pictures.shape), align_corners=False)
        moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        return moved.contiguous(memory_format=torch.channels_last)

    def _maps(self, pictures: Tensor) -> Tensor:
        """(n, 2, 3): where each point of the new picture lies in the old one, in coordinates from -1 to 1."""
        draws = 2 * torch.rand(6, len(pictures), device=pictures.device) - 1
        angle, scale, stretch, shear = draws[:4] * self.strength
        right, down = draws[4:] * 2 * SHIFT
        cosine = torch.cos(angle * math.pi / 4) * torch.exp(scale)
        sine = torch.sin(angle * math.pi / 4) * torch.exp(scale)
        aspect = torch.exp(stretch / 2)
        across = torch.stack([cosine, shear * cosine - sine, right], dim=1)
        along = torch.stack([(shear * cosine + sine) / aspect, cosine * aspect, down], dim=1)
        return torch.stack([across, along], dim=1)
