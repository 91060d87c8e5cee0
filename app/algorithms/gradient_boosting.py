"""Boosted trees on the source."""

from typing import ClassVar, Literal

from app.algorithms.base import TreeModelParams


class GradientBoostingParams(TreeModelParams):
    """Gradient boosting: boosted trees of the source, without adaptation. For tables."""

    needs_target: ClassVar[bool] = False

    algorithm: Literal["gradient_boosting"] = "gradient_boosting"
