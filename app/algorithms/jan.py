"""Joint adaptation networks."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class JanParams(AdaptationParams):
    """JAN: features and predictions of source and target, taken together, shall have the same distribution (joint MMD)."""

    paper: ClassVar[str | None] = "Long et al., ICML 2017, https://arxiv.org/abs/1605.06636"

    algorithm: Literal["jan"] = "jan"
    weight: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Factor on the joint discrepancy, times 2 / (1 + exp(-10 p)) - 1, p the fraction of the run.",
    )
