"""Minimum class confusion."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class MccParams(AdaptationParams):
    """MCC: minimise the confusion between classes in the target predictions."""

    paper: ClassVar[str | None] = "Jin et al., ECCV 2020, https://arxiv.org/abs/1912.03699"

    algorithm: Literal["mcc"] = "mcc"
    temperature: float = Field(2.5, gt=0, le=100, description="T, divisor of the logits before the softmax.")
    weight: float = Field(1.0, ge=0, le=1000, description="Factor on the class confusion on the target.")
