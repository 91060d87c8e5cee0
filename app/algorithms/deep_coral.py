"""Deep correlation alignment."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class DeepCoralParams(AdaptationParams):
    """Deep CORAL: align the feature covariances of source and target."""

    paper: ClassVar[str | None] = "Sun and Saenko, 2016, https://arxiv.org/abs/1607.01719"

    algorithm: Literal["deep_coral"] = "deep_coral"
    weight: float = Field(1.0, ge=0, le=1e6, description="Factor on the squared distance of the covariances, divided by 4 d^2.")
