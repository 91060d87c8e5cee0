"""The embedding of a version."""

from typing import Literal

from pydantic import BaseModel, Field


class EmbeddingOut(BaseModel):
    """A plane of features in columns of equal length, one element for each row of a sample of source and target."""

    domain: list[Literal["source", "target"]]
    row: list[int] | None = Field(description="Numbers in the dataset of the domain, from 1; null for older versions.")
    label: list[str] = Field(description="Label of a source row; class that the adapted model predicts for a target row.")
    disputed: list[bool] | None = Field(description="Whether the models predict different classes; null for older versions.")
    x_before: list[float]
    y_before: list[float]
    x_after: list[float]
    y_after: list[float]
