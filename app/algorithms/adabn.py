"""Adaptive batch normalisation."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams


class AdabnParams(AlgorithmParams):
    """AdaBN: a trained network whose batch-norm statistics become the target's; no weight changes. Needs batch norm."""

    paper: ClassVar[str | None] = "Li et al., 2016, https://arxiv.org/abs/1603.04779"
    needs_source: ClassVar[bool] = False
    needs_trained_network: ClassVar[bool] = True

    algorithm: Literal["adabn"] = "adabn"
    epochs: int = Field(1, ge=1, le=10_000, description="Passes over the target.")
    min_steps: int = Field(
        100, ge=0, le=1_000_000, description="A run has at least as many steps, whatever `epochs` says: the statistics settle."
    )
