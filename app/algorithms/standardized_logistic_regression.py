"""Logistic regression on columns standardised per domain."""

from typing import ClassVar, Literal

from app.algorithms.base import LinearModelParams


class StandardizedLogisticRegressionParams(LinearModelParams):
    """Logistic regression on columns that are standardised with the mean and deviation of their own domain."""

    paper: ClassVar[str | None] = "Li et al., 2016, https://arxiv.org/abs/1603.04779"

    algorithm: Literal["standardized_logistic_regression"] = "standardized_logistic_regression"
