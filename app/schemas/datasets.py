"""Requests and responses of datasets."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.db.tables import JobRow
from app.formats.class_labels import in_order
from app.job_state import JobStatus
from app.modalities import MODALITIES
from app.schemas.data_warnings import DataWarningOut
from app.schemas.interpretation import Interpretation
from app.schemas.labels import Label


class DatasetCreate(BaseModel):
    """The fields of an upload. `options` belong to the modality."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Label
    modality: Annotated[str | None, Field(description="Detected from the file by default.")] = None
    options: dict[str, Any] = {}


class Reinterpretation(BaseModel):
    """The fields of a dataset that is made from the bytes of another one."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Annotated[Label | None, Field(description="Default: the name of the other dataset.")] = None
    modality: Annotated[str | None, Field(description="Default: that of the other dataset.")] = None
    options: dict[str, Any] = Field({}, description="They replace all options of the other dataset.")

    def fields(self, name: str, modality: str) -> dict[str, str]:
        """Return the fields of the upload form, with these defaults."""
        options = json.dumps(self.options)
        return {"name": self.name or name, "modality": self.modality or modality, "options": options}


class DatasetOut(BaseModel):
    """An immutable upload."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    modality: str = Field(examples=sorted(MODALITIES))
    filename: str
    format: str
    options: dict[str, Any]
    digest: str = Field(description="SHA-256 of the file.")
    size_bytes: int
    rows: int = Field(description="Number of images, rows, texts or series.")
    labelled: bool
    classes: dict[str, int] | None = Field(description="Number of examples per class; null without labels.")
    description: str
    tags: list[str]
    profile: dict[str, Any] = Field(
        description="Columns with their types, image sizes, text lengths, or channels and length of series."
    )
    interpretation: Interpretation = Field(description="How the file is read.")
    warnings: list[DataWarningOut] = Field(description="What was accepted, but may not mean what you expect.")
    created_at: datetime

    @field_validator("interpretation", mode="before")
    @classmethod
    def _of_profile(cls, profile: Any) -> Any:
        """Build the interpretation from the profile of the row."""
        return Interpretation.of(profile) if isinstance(profile, dict) else profile

    @field_validator("classes")
    @classmethod
    def _in_order(cls, classes: dict[str, int] | None) -> dict[str, int] | None:
        """Sort the classes: PostgreSQL keeps no order of keys."""
        return classes and {name: classes[name] for name in in_order(classes)}


class Preview(BaseModel):
    """The first examples with their labels: rows by column name, texts, or thumbnails of images and series as data URLs."""

    data: list[dict[str, Any]]


class ExampleOut(BaseModel):
    """One example with its number in the dataset."""

    row: int = Field(description="From 1, as in the outputs of batch predictions.")
    example: dict[str, Any] = Field(description="Values by column, a text, a thumbnail or the `image` itself; and the label.")


class ExamplePage(BaseModel):
    """Consecutive examples. Those of the last page are fewer."""

    data: list[ExampleOut]
    total: int = Field(description="Number of examples of the dataset.")


class Usage(BaseModel):
    """A job that reads the dataset."""

    job: UUID
    kind: str = Field(description="`adaptation` or `batch_prediction`.")
    roles: list[Literal["source", "target", "evaluation"]] = Field(description="A batch prediction reads its `source`.")
    model: str
    version: int | None = Field(description="The version that the job produced.")
    status: JobStatus
    created_at: datetime

    @classmethod
    def of(cls, job: JobRow, dataset_id: UUID) -> "Usage":
        """Build the response for a job that names the dataset."""
        roles: dict[Literal["source", "target", "evaluation"], Sequence[UUID | None]]
        roles = {"source": job.source_ids, "target": [job.target_id], "evaluation": [job.evaluation_id]}
        return cls(
            job=job.id,
            kind=job.kind,
            roles=[role for role, used in roles.items() if dataset_id in used],
            model=job.model_name,
            version=job.version.number if job.version else None,
            status=job.status,
            created_at=job.created_at,
        )


UPLOAD_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "name"],
                "additionalProperties": False,
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "The dataset file. Its name ends in its format.",
                    },
                    "name": {"type": "string", "minLength": 1, "maxLength": 200},
                    "modality": {
                        "type": "string",
                        "enum": sorted(MODALITIES),
                        "description": "Detected from the file by default.",
                    },
                    "options": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "description": "JSON: "
                        + "; ".join(
                            f"{name}: {', '.join(f'`{key}`' for key in modality.options.model_fields) or 'none'}"
                            for name, modality in MODALITIES.items()
                        ),
                        "example": '{"label": "label"}',
                    },
                },
            }
        }
    },
}
