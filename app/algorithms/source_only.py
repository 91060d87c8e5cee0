"""Supervised training on the source, the whole network at once: what a job has without adaptation."""

from typing import ClassVar, Literal

from app.algorithms.base import AlgorithmParams


class SourceOnlyParams(AlgorithmParams):
    """Source only: plain supervised training on the source, which every adaptation is compared with."""

    needs_target: ClassVar[bool] = False

    algorithm: Literal["source_only"] = "source_only"
