"""Training on the source alone: what one has without adaptation."""

from typing import ClassVar, Literal

from app.algorithms.base import AlgorithmParams


class SourceOnlyParams(AlgorithmParams):
    """Source only: supervised training on the source, the baseline that every adaptation has to beat."""

    needs_target: ClassVar[bool] = False

    algorithm: Literal["source_only"] = "source_only"
