"""Self-training on confident pseudo-labels."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class SelfTrainingParams(AdaptationParams):
    """Self-training: train on confident target predictions as labels; for images on strongly augmented copies (FixMatch).

    A class-confusion term (MCC) prevents early errors from reinforcing themselves.
    """

    paper: ClassVar[str | None] = "Sohn et al., NeurIPS 2020, https://arxiv.org/abs/2001.07685"
    augments_target_itself: ClassVar[bool] = True

    algorithm: Literal["self_training"] = "self_training"
    threshold: float = Field(0.95, gt=0, le=1, description="tau, minimum confidence of a pseudo-label.")
    weight: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Factor on the pseudo-label loss, multiplied by 2 / (1 + exp(-10 p)) - 1, "
        "where p is the completed fraction of the run.",
    )
    confusion: float = Field(1.0, ge=0, le=1000, description="Factor on the class confusion on the target, as in `mcc`.")
    temperature: float = Field(2.5, gt=0, le=100, description="Divisor of the logits before the softmax of the confusion.")
