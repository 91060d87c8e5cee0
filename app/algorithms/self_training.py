"""Self-training on confident pseudo-labels."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import AdaptationParams


class SelfTrainingParams(AdaptationParams):
    """Self-training: confident predictions label the target; for pictures strongly changed ones learn them (FixMatch).

    Beside it the class confusion of the target's predictions (MCC), which keeps early errors from teaching themselves.
    """

    paper: ClassVar[str | None] = "Sohn et al., NeurIPS 2020, https://arxiv.org/abs/2001.07685"
    augments_target_itself: ClassVar[bool] = True

    algorithm: Literal["self_training"] = "self_training"
    threshold: float = Field(0.95, gt=0, le=1, description="tau, the least confidence of a prediction that teaches.")
    weight: float = Field(
        1.0, ge=0, le=1000, description="Factor on the target's loss, times 2 / (1 + exp(-10 p)) - 1, p the fraction of the run."
    )
    confusion: float = Field(1.0, ge=0, le=1000, description="Factor on the confusion of the target's classes, as `mcc` has it.")
    temperature: float = Field(2.5, gt=0, le=100, description="By which logits are divided before the confusion's softmax.")
