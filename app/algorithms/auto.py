"""Search over methods."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from app.algorithms.base import AlgorithmParams, parse_params

CANDIDATES: list[dict[str, Any]] = [
    {"algorithm": "logistic_regression"},
    {"algorithm": "gradient_boosting"},
    {"algorithm": "standardized_logistic_regression"},
    {"algorithm": "self_trained_logistic_regression"},
    {"algorithm": "coral"},
    {"algorithm": "subspace_alignment"},
    {"algorithm": "importance_weighting"},
    {"algorithm": "standardized_gradient_boosting"},
    {"algorithm": "self_training", "ema_decay": 0.999, "augmentation": "strong"},
    {"algorithm": "self_training", "ema_decay": 0.999},
    {"algorithm": "cdan", "ema_decay": 0.999},
    {"algorithm": "deep_coral", "ema_decay": 0.999},
]
"""Plain methods, self-training with two augmentations, and two methods that align features.

MCC is only included as a term of self-training: alone it is confident even if wrong, which the validator scores as accurate.
Strong augmentation lowers the confidence of wrong predictions. On MNIST to MNIST-M the validator correctly prefers strong
(94.6 %) to affine (83.0 %) augmentation.
"""


class Budget(BaseModel):
    """End of the search. No trial starts after it; trials that other workers have started run to their end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float | None = Field(
        None, gt=0, le=100_000, description="Training time on all workers, without the source-only trial and failed trials."
    )
    trials: int | None = Field(
        None, ge=1, le=1000, description="Number of trials, without the source-only trial and plain methods."
    )

    @model_validator(mode="after")
    def _is_one(self) -> "Budget":
        if (self.minutes is None) == (self.trials is None):
            raise ValueError("give either `minutes` or `trials`")
        return self


class AutoParams(AlgorithmParams):
    """Auto: fit plain methods, train others by successive halving, and serve the model with the best expected gain."""

    paper: ClassVar[str | None] = "Jamieson and Talwalkar, AISTATS 2016, https://arxiv.org/abs/1502.07943 (successive halving)"
    is_search: ClassVar[bool] = True

    algorithm: Literal["auto"] = "auto"
    candidates: list[dict[str, Any]] = Field(
        CANDIDATES,
        min_length=1,
        max_length=100,
        validate_default=True,
        description="Parameters of the methods to try, as in `params` of a job. Missing parameters are taken from this search, "
        "or else from the defaults of the method.",
    )
    budget: Budget | None = Field(
        None, description="Default: train every deep candidate briefly, then the better half completely."
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Resolve the candidates, because only here the common parameters are separate from their defaults."""
        if not isinstance(values, dict) or not isinstance(values.get("candidates", []), list):
            return values
        common = {name: value for name, value in values.items() if name in AlgorithmParams.model_fields and name != "algorithm"}
        given = values.get("candidates", CANDIDATES)
        return values | {"candidates": [common | one if isinstance(one, dict) else one for one in given]}

    @field_validator("candidates")
    @classmethod
    def _are_methods(cls, candidates: list[dict[str, Any]], info: ValidationInfo) -> list[dict[str, Any]]:
        resolved, errors = [], []
        for number, values in enumerate(candidates):
            try:
                resolved.append(_candidate(values).model_dump(mode="json"))
            except ValueError as error:
                errors.append(f"candidate {number}: {error}")
        if errors:
            raise ValueError("; ".join(errors))
        return resolved

    @property
    def methods(self) -> list[AlgorithmParams]:
        """The candidates."""
        return [_candidate(values) for values in self.candidates]


def _candidate(values: dict[str, Any]) -> AlgorithmParams:
    params = parse_params(values)
    if params.is_search or not (params.needs_target or params.plain_kind):
        raise ValueError(f"`{params.algorithm}` cannot be a candidate of a search")
    return params
