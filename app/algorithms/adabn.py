"""Adaptive batch normalisation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams


class AdabnParams(AlgorithmParams):
    """AdaBN: replace the batch-norm statistics of a trained network by those of the target. No weights change."""

    paper: ClassVar[str | None] = "Li et al., 2016, https://arxiv.org/abs/1603.04779"
    needs_source: ClassVar[bool] = False
    needs_trained_network: ClassVar[bool] = True
    needs_batch_norm: ClassVar[bool] = True

    algorithm: Literal["adabn"] = "adabn"
    epochs: int = Field(1, ge=1, le=10_000, description="Passes over the target.")
    min_steps: int = Field(
        100, ge=0, le=1_000_000, description="Minimum number of steps; it overrides `epochs` so that the statistics converge."
    )
