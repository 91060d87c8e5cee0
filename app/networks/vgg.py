"""Convolutional network for small images."""

from typing import ClassVar, Literal

from pydantic import Field

from app.networks.base import InputLimits, NetworkParams


class VggParams(NetworkParams):
    """Small VGG trained from scratch: 3x3 convolutions with batch norm, and twice the channels after each max-pool."""

    modalities: ClassVar[tuple[str, ...]] = ("image",)
    default_for: ClassVar[tuple[str, ...]] = ("image",)

    network: Literal["vgg"] = "vgg"
    input_size: int = Field(28, ge=8, le=128, description="Height and width to which images are resized, in pixels.")

    def input_limits(self) -> InputLimits:
        return InputLimits(image_side=self.input_size)
