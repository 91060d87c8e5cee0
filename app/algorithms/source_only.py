"""Supervised training on the source, without adaptation."""

from typing import ClassVar, Literal

from app.algorithms.base import AlgorithmParams


class SourceOnlyParams(AlgorithmParams):
    """Source only: supervised training on the source, the baseline of every adaptation."""

    needs_target: ClassVar[bool] = False

    algorithm: Literal["source_only"] = "source_only"
