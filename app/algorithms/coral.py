"""Correlation alignment of the columns."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AlignedModelParams


class CoralParams(AlignedModelParams):
    """CORAL: give the source columns the covariance of the target, then fit a logistic regression."""

    paper: ClassVar[str | None] = "Sun, Feng and Saenko, AAAI 2016, https://arxiv.org/abs/1511.05547"

    algorithm: Literal["coral"] = "coral"
    ridge: float = Field(1.0, gt=0, le=1000, description="Added to all variances. More of it aligns less.")
