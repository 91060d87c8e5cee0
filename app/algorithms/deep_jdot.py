"""Deep joint distribution optimal transport."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class DeepJdotParams(AdaptationParams):
    """DeepJDOT: match target with source examples by optimal transport of features and labels, and align each pair."""

    paper: ClassVar[str | None] = "Damodaran et al., ECCV 2018, https://arxiv.org/abs/1803.10081"

    algorithm: Literal["deep_jdot"] = "deep_jdot"
    feature_weight: float = Field(0.01, ge=0, le=1000, description="alpha, factor on the squared distance of matched features.")
    label_weight: float = Field(
        1.0, ge=0, le=1000, description="lambda_t, factor on the cross-entropy of a target example with the label of its match."
    )
