"""Entropy minimisation by the normalisation layers."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlgorithmParams


class TentParams(AlgorithmParams):
    """TENT: minimise the entropy of target predictions over the scales and shifts of the normalisation layers."""

    paper: ClassVar[str | None] = "Wang et al., ICLR 2021, https://arxiv.org/abs/2006.10726"
    needs_source: ClassVar[bool] = False
    needs_trained_network: ClassVar[bool] = True

    algorithm: Literal["tent"] = "tent"
    epochs: int = Field(5, ge=1, le=10_000, description="Passes over the target.")
    min_steps: int = Field(
        100, ge=0, le=1_000_000, description="Minimum number of steps; it overrides `epochs` so that the statistics converge."
    )
