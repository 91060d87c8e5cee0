"""Inception network for series."""

from typing import ClassVar, Literal

from pydantic import Field

from app.networks.base import NetworkParams


class Inception1dParams(NetworkParams):
    """InceptionTime: blocks of parallel convolutions of three lengths with residual connections. Accurate, but slow on CPUs."""

    modalities: ClassVar[tuple[str, ...]] = ("series",)

    network: Literal["inception1d"] = "inception1d"
    depth: int = Field(6, ge=1, le=12, description="Inception modules; each third one ends a residual block.")
    filters: int = Field(32, ge=4, le=256, description="Channels of each of the four branches of a module.")
    kernel: int = Field(40, ge=8, le=256, description="Steps of the longest convolution; the others have 1/2 and 1/4 of them.")
