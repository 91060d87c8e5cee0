"""Residual network for pictures."""

from typing import ClassVar, Literal

from pydantic import Field

from app.networks.base import NetworkParams


class ResnetParams(NetworkParams):
    """ResNet-18 with a 3x3 stem and no stem pooling, as for CIFAR, trained from scratch."""

    modalities: ClassVar[tuple[str, ...]] = ("image",)

    network: Literal["resnet"] = "resnet"
    input_size: int = Field(32, ge=16, le=256, description="Pictures are brought to this height and width, in pixels.")
    width: int = Field(64, ge=8, le=256, description="Channels of the first stage.")
