"""Convolutional network for small pictures."""

from typing import ClassVar, Literal

from pydantic import Field

from app.networks.base import InputLimits, NetworkParams


class VggParams(NetworkParams):
    """3x3 convolutions with batch norm, twice as many channels after every max-pool: a small VGG, trained from scratch."""

    modalities: ClassVar[tuple[str, ...]] = ("image",)
    default_for: ClassVar[tuple[str, ...]] = ("image",)

    network: Literal["vgg"] = "vgg"
    input_size: int = Field(28, ge=8, le=128, description="Pictures are brought to this height and width, in pixels.")

    def input_limits(self) -> InputLimits:
        return InputLimits(image_side=self.input_size)
