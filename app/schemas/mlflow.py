"""Predictions in the formats of MLflow's model servers and of KServe, version 1.

https://mlflow.org/docs/latest/genai/serving and https://kserve.github.io/website
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.schemas.limits import DEFAULT_TOP_K, MAX_TOP_K

Column = Annotated[str, Field(max_length=200)]


class DataframeSplit(BaseModel):
    """A table: column names and rows."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    columns: list[Column] = Field(min_length=1)
    data: list[list[Any]]


class InvocationParams(BaseModel):
    """Options as in `POST /predict`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: int = Field(DEFAULT_TOP_K, ge=1, le=MAX_TOP_K)
    probabilities: bool = False
    strict: bool = False


class Instances(BaseModel):
    """The body of the KServe protocol, version 1. Other members, which its servers accept, are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instances: list[Any] = Field(min_length=1, description='Same as `inputs` of `POST /predict`; `{"b64": "..."}` for an image.')
    strict: bool = Field(False, description="Whether to reject inputs that would cause a warning.")


class Invocation(BaseModel):
    """The inputs in one of four formats."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instances: list[Any] | None = Field(None, description="Same as `inputs` of `POST /predict`.")
    inputs: list[Any] | dict[Column, list[Any]] | None = Field(None, description="Same as `instances`, or columns by name.")
    dataframe_split: DataframeSplit | None = None
    dataframe_records: list[dict[Column, Any]] | None = None
    params: InvocationParams = InvocationParams()

    @model_validator(mode="after")
    def _in_one_way(self) -> Self:
        forms = (self.instances, self.inputs, self.dataframe_split, self.dataframe_records)
        if sum(form is not None for form in forms) != 1:
            raise ValueError("give exactly one of instances, inputs, dataframe_split and dataframe_records")
        return self
