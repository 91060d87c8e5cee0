"""Maximum classifier discrepancy."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class McdParams(AdaptationParams):
    """MCD: alternately train two classifiers to disagree on the target, and the features to make them agree."""

    paper: ClassVar[str | None] = "Saito et al., CVPR 2018, https://arxiv.org/abs/1712.02560"

    algorithm: Literal["mcd"] = "mcd"
    weight: float = Field(1.0, ge=0, le=1000, description="Factor on the discrepancy of the two classifiers.")
    feature_updates: int = Field(4, ge=1, le=16, description="k, feature updates per step.")
