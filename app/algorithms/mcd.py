"""Maximum classifier discrepancy."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class McdParams(AdaptationParams):
    """MCD: two classifiers learn to differ on the target, the features to make them agree, in turns."""

    paper: ClassVar[str | None] = "Saito et al., CVPR 2018, https://arxiv.org/abs/1712.02560"

    algorithm: Literal["mcd"] = "mcd"
    weight: float = Field(1.0, ge=0, le=1000, description="Factor on the discrepancy of the two classifiers.")
    feature_updates: int = Field(4, ge=1, le=16, description="k, updates of the features in each step.")
