"""Boosted trees on columns standardised per domain."""

from typing import ClassVar, Literal

from app.algorithms.base import TreeModelParams


class StandardizedGradientBoostingParams(TreeModelParams):
    """Gradient boosting on columns that are standardised with the mean and deviation of their own domain. For tables."""

    paper: ClassVar[str | None] = "Li et al., 2016, https://arxiv.org/abs/1603.04779"

    algorithm: Literal["standardized_gradient_boosting"] = "standardized_gradient_boosting"
