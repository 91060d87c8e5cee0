"""Margin disparity discrepancy."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class MddParams(AdaptationParams):
    """MDD: train a second classifier to disagree with the first on the target, and the features to prevent it."""

    paper: ClassVar[str | None] = "Zhang et al., ICML 2019, https://arxiv.org/abs/1904.05801"

    algorithm: Literal["mdd"] = "mdd"
    margin: float = Field(4.0, gt=0, le=100, description="gamma, weight of agreement on the source.")
    lambda_max: float = Field(
        0.1,
        ge=0,
        le=10,
        description="lambda_p = lambda_max * (2 / (1 + exp(-10 p)) - 1), where p is the completed fraction of the run.",
    )
    auxiliary_width: int = Field(256, ge=1, le=8192, description="Units of the hidden layer of the second classifier.")
