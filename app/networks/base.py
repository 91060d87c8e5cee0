"""What a caller may say to every network."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class NetworkParams(BaseModel):
    """A kind of network. Fields and class variables are what the modalities read to fit their preprocessing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: ClassVar[tuple[str, ...]]
    default_for: ClassVar[tuple[str, ...]] = ()

    network: str
