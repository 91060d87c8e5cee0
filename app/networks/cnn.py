"""Small convolutional network for small images."""

from typing import ClassVar, Literal

from pydantic import Field

from app.networks.base import InputLimits, NetworkParams


class CnnParams(NetworkParams):
    """Two 5x5 convolutions, each with a max-pool: the digits network of the DANN paper (figure 4a), with batch norm."""

    modalities: ClassVar[tuple[str, ...]] = ("image",)

    network: Literal["cnn"] = "cnn"
    input_size: int = Field(28, ge=8, le=128, description="Height and width to which images are resized, in pixels.")

    def input_limits(self) -> InputLimits:
        return InputLimits(image_side=self.input_size)
