"""Residual network for images."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.networks.base import InputLimits, NetworkParams

MAX_MAP_VALUES = 2**20
"""Values of a feature map of the first stage. Training keeps about 18 times as many floats per image: 75 MB."""


class ResnetParams(NetworkParams):
    """ResNet-18 with a 3x3 stem and no stem pooling, as for CIFAR, trained from scratch."""

    modalities: ClassVar[tuple[str, ...]] = ("image",)

    network: Literal["resnet"] = "resnet"
    input_size: int = Field(32, ge=16, le=256, description="Height and width to which images are resized, in pixels.")
    width: int = Field(64, ge=8, le=256, description="Channels of the first stage.")

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        if self.width * self.input_size**2 > MAX_MAP_VALUES:
            raise ValueError(f"width * input_size * input_size may be at most {MAX_MAP_VALUES}")
        return self

    def input_limits(self) -> InputLimits:
        return InputLimits(image_side=self.input_size)
