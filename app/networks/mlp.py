"""Multilayer perceptron for tables and for bags of n-grams."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.networks.base import NetworkParams

MAX_WEIGHTS = 2**26


class MlpParams(NetworkParams):
    """Fully connected layers; categories and n-grams are embedded."""

    modalities: ClassVar[tuple[str, ...]] = ("tabular", "text")
    default_for: ClassVar[tuple[str, ...]] = ("tabular", "text")
    has_batch_norm: ClassVar[bool | None] = False

    network: Literal["mlp"] = "mlp"
    width: int = Field(100, ge=1, le=8192, description="Units of each hidden layer.")
    layers: int = Field(1, ge=1, le=16, description="Hidden layers.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout after each hidden layer.")

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        if self.width**2 * self.layers > MAX_WEIGHTS:
            raise ValueError(f"width * width * layers may be at most {MAX_WEIGHTS}")
        return self
