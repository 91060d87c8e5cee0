"""Adaptive feature norm."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class AfnParams(AdaptationParams):
    """AFN: the features of both domains grow longer step by step (SAFN), since short ones transfer badly."""

    paper: ClassVar[str | None] = "Xu et al., ICCV 2019, https://arxiv.org/abs/1811.07456"

    algorithm: Literal["afn"] = "afn"
    weight: float = Field(0.05, ge=0, le=1000, description="Factor on the squared distance from the norm that is asked for.")
    norm_step: float = Field(1.0, gt=0, le=100, description="By how much each feature vector shall be longer than it is.")
