"""The search for a method."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from app.algorithms.base import AlgorithmParams, parse_params

CANDIDATES: list[dict[str, Any]] = [
    {"algorithm": "self_training", "ema_decay": 0.999, "augmentation": "strong"},
    {"algorithm": "self_training", "ema_decay": 0.999},
    {"algorithm": "cdan", "ema_decay": 0.999},
]
"""Self-training twice, and an opponent. MCC is a term of self-training, and not by itself among them: it is confident in any
case, which the validator takes for knowledge. Where strongly changed pictures have to bear the same labels, a network is less
confident where it is wrong (on MNIST to MNIST-M the validator prefers strong changes, 94.6 %, to affine ones, 83.0, as it
should)."""


class Budget(BaseModel):
    """When the search ends: it begins no trial after it. What other workers have begun by then, they train to the end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float | None = Field(
        None, gt=0, le=100_000, description="Of training on all workers, source-only and what fails not counted."
    )
    trials: int | None = Field(None, ge=1, le=1000, description="Trials beside source-only.")

    @model_validator(mode="after")
    def _is_one(self) -> "Budget":
        if (self.minutes is None) == (self.trials is None):
            raise ValueError("give either `minutes` or `trials`")
        return self


class AutoParams(AlgorithmParams):
    """Auto: tries methods by successive halving, keeps what the validator finds best; source-only is always among them."""

    paper: ClassVar[str | None] = "Jamieson and Talwalkar, AISTATS 2016, https://arxiv.org/abs/1502.07943 (successive halving)"
    is_search: ClassVar[bool] = True

    algorithm: Literal["auto"] = "auto"
    candidates: list[dict[str, Any]] = Field(
        CANDIDATES,
        min_length=1,
        max_length=100,
        validate_default=True,
        description="Parameters of the methods to try, as `params` of a job. What they leave out is taken from this search where "
        "that says it, else from the method's defaults.",
    )
    budget: Budget | None = Field(None, description="None: every candidate shortly, the better half to the end.")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Resolve the candidates now: what was said for all of them is known only here."""
        if not isinstance(values, dict) or not isinstance(values.get("candidates", []), list):
            return values
        common = {name: value for name, value in values.items() if name in AlgorithmParams.model_fields and name != "algorithm"}
        given = values.get("candidates", CANDIDATES)
        return values | {"candidates": [common | one if isinstance(one, dict) else one for one in given]}

    @field_validator("candidates")
    @classmethod
    def _are_methods(cls, candidates: list[dict[str, Any]], info: ValidationInfo) -> list[dict[str, Any]]:
        found, wrong = [], []
        for number, values in enumerate(candidates):
            try:
                found.append(_candidate(values).model_dump(mode="json"))
            except ValueError as error:
                wrong.append(f"candidate {number}: {error}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return found

    @property
    def methods(self) -> list[AlgorithmParams]:
        """The candidates."""
        return [_candidate(values) for values in self.candidates]


def _candidate(values: dict[str, Any]) -> AlgorithmParams:
    params = parse_params(values)
    if params.is_search or not params.needs_target:
        raise ValueError(f"`{params.algorithm}` is no method that a search can try")
    return params
