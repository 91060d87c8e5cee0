"""Linear model for tables and texts."""

from typing import ClassVar, Literal

from pydantic import Field

from app.networks.base import NetworkParams


class LinearParams(NetworkParams):
    """A linear model of standardised numbers, one indicator per level of a category, and n-grams."""

    modalities: ClassVar[tuple[str, ...]] = ("tabular", "text")

    network: Literal["linear"] = "linear"
    source_map: bool = Field(
        False, description="Store a map from the columns of the source to those of the target, as in `coral`."
    )
