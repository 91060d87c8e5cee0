"""Predictions in the formats of MLflow's model servers: https://mlflow.org/docs/latest/genai/serving."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.schemas.limits import MAX_CLASSES, TOP_K

Column = Annotated[str, Field(max_length=200)]


class Split(BaseModel):
    """A table: the names of the columns, and the rows."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    columns: list[Column] = Field(min_length=1)
    data: list[list[Any]]


class Params(BaseModel):
    """Options as in `POST /predict`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: int = Field(TOP_K, ge=1, le=MAX_CLASSES)
    probabilities: bool = False


class Invocation(BaseModel):
    """The inputs in one of four formats."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instances: list[Any] | None = Field(None, description="As `inputs` of `POST /predict`.")
    inputs: list[Any] | dict[Column, list[Any]] | None = Field(None, description="Likewise, or columns by name.")
    dataframe_split: Split | None = None
    dataframe_records: list[dict[Column, Any]] | None = None
    params: Params = Params()

    @model_validator(mode="after")
    def _in_one_way(self) -> Self:
        ways = (self.instances, self.inputs, self.dataframe_split, self.dataframe_records)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of instances, inputs, dataframe_split and dataframe_records")
        return self
