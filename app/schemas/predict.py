"""Requests and responses of predictions."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.artifacts import Precision
from app.schemas.data_warnings import DataWarningOut
from app.schemas.limits import DEFAULT_TOP_K, MAX_TOP_K
from app.schemas.models import VersionNumber

ModelReference = Annotated[
    str,
    Field(
        min_length=1,
        max_length=250,
        description="`digits` (`@production`, else the newest version), `digits:3` or `digits@beta`.",
    ),
]


class PredictForm(BaseModel):
    """The options of a prediction; the fields beside the files of a multipart request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelReference
    top_k: int = Field(DEFAULT_TOP_K, ge=1, le=MAX_TOP_K, description="Maximum number of classes in `top`.")
    probabilities: bool = Field(False, description="Whether to return the probability of every class.")
    precision: Precision | None = Field(
        None,
        description="The graph of the version to run; 404 if it does not exist. The default is a setting of the server.",
    )


class PredictCreate(PredictForm):
    """A prediction with inputs as JSON."""

    inputs: list[Any] = Field(
        min_length=1,
        description="Tabular: objects by column name, or arrays in column order. Text: strings. Image: base64 of an image file,"
        " or nested lists (height, width[, channels]) of 0..255.",
    )
    strict: bool = Field(False, description="Whether to reject inputs that would cause a warning, such as unknown categories.")


class ClassProbability(BaseModel):
    label: str
    probability: float = Field(ge=0, le=1)


class Prediction(BaseModel):
    """The prediction for one input."""

    label: str = Field(description="The most probable class.")
    confidence: float = Field(ge=0, le=1, description="Probability of `label`.")
    abstained: bool = Field(description="Whether the confidence is below the version's threshold. If so, have a person decide.")
    top: list[ClassProbability] = Field(description="The most probable classes, in order.")
    probabilities: dict[str, float] | None = Field(None, description="Probability of every class, if requested.")


class PredictOut(BaseModel):
    """The predictions, in the order of the inputs, and the version that made them."""

    model: str
    version: VersionNumber
    predictions: list[Prediction]
    warnings: list[DataWarningOut] = Field(
        [], description="Values that the model does not know and handles as missing. Absent if there are none."
    )
