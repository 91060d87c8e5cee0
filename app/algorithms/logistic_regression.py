"""Logistic regression on the source."""

from typing import ClassVar, Literal

from app.algorithms.base import LinearModelParams


class LogisticRegressionParams(LinearModelParams):
    """Logistic regression: a linear model of the source, without adaptation. For tables, texts and frozen encoders."""

    needs_target: ClassVar[bool] = False

    algorithm: Literal["logistic_regression"] = "logistic_regression"
