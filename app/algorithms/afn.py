"""Adaptive feature norm."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class AfnParams(AdaptationParams):
    """AFN: increase the feature norms of both domains step by step (SAFN), because small norms transfer badly."""

    paper: ClassVar[str | None] = "Xu et al., ICCV 2019, https://arxiv.org/abs/1811.07456"

    algorithm: Literal["afn"] = "afn"
    weight: float = Field(0.05, ge=0, le=1000, description="Factor on the squared distance from the target norm.")
    norm_step: float = Field(1.0, gt=0, le=100, description="Increase of each feature vector's norm per step.")
