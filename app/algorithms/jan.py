"""Joint adaptation networks."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class JanParams(AdaptationParams):
    """JAN: minimise the joint maximum mean discrepancy of features and predictions."""

    paper: ClassVar[str | None] = "Long et al., ICML 2017, https://arxiv.org/abs/1605.06636"

    algorithm: Literal["jan"] = "jan"
    weight: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Factor on the joint discrepancy, multiplied by 2 / (1 + exp(-10 p)) - 1, "
        "where p is the completed fraction of the run.",
    )
