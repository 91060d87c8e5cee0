"""Small convolutional network for series."""

from typing import ClassVar, Literal

from pydantic import Field

from app.networks.base import NetworkParams


class Cnn1dParams(NetworkParams):
    """Three convolutions over time, each with batch norm and a max-pool: the CNN of the AdaTime benchmark."""

    modalities: ClassVar[tuple[str, ...]] = ("series",)
    default_for: ClassVar[tuple[str, ...]] = ("series",)

    network: Literal["cnn1d"] = "cnn1d"
    width: int = Field(32, ge=4, le=512, description="Channels of the first convolution; the others have twice as many.")
    kernel: int | None = Field(
        None, ge=3, le=255, description="Steps of the first convolution. Default: 5, more with a longer stride."
    )
    stride: int | None = Field(
        None, ge=1, le=64, description="Stride of the first convolution. Default: 1 up to 255 steps, up to 6 for longer series."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout after the first convolution, and in the bottleneck.")
