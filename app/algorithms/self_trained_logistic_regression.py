"""Self-training of a logistic regression."""

from typing import ClassVar, Literal

from pydantic import Field

from app.algorithms.base import LinearModelParams


class SelfTrainedLogisticRegressionParams(LinearModelParams):
    """Logistic regression on columns standardised per domain, then rounds of self-training on confident target predictions."""

    paper: ClassVar[str | None] = (
        "Scudder, IEEE Transactions on Information Theory 1965, https://doi.org/10.1109/TIT.1965.1053799"
    )

    algorithm: Literal["self_trained_logistic_regression"] = "self_trained_logistic_regression"
    rounds: int = Field(3, ge=1, le=20, description="Round r of R learns the r / R most confident target rows of each class.")
