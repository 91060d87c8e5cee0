"""Supervised training on the source, without adaptation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams


class SourceOnlyParams(AlgorithmParams):
    """Source only: supervised training on the source, the baseline of every adaptation."""

    needs_target: ClassVar[bool] = False

    algorithm: Literal["source_only"] = "source_only"
    min_steps: int = Field(
        1000, ge=0, le=1_000_000, description="Minimum number of steps; it overrides `epochs`, because small tables need more."
    )
