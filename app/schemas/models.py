"""Models, their versions, aliases and artifacts."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from app.artifacts import Manifest
from app.db.tables import AliasRow, ArtifactRow, VersionRow
from app.db.views import ModelOverview
from app.model_reference import MAX_VERSION_NUMBER
from app.schemas.evaluation_figures import StoredEvaluation
from app.schemas.jobs import VersionReference
from app.schemas.label_requests import IntervalOut, Measured
from app.schemas.version_metrics import DETAILED_METRICS, VersionMetrics
from app.schemas.version_summary import summarize

VersionNumber = Annotated[int, Field(ge=1, le=MAX_VERSION_NUMBER)]


class AliasSet(BaseModel):
    """The version that an alias points to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: VersionNumber


class AliasOut(BaseModel):
    """A movable name for a version."""

    name: str
    version: int
    updated_at: datetime

    @classmethod
    def of(cls, row: AliasRow) -> "AliasOut":
        return cls(name=row.name, version=row.version.number, updated_at=row.updated_at)


class VersionSummary(BaseModel):
    """One version in the list of its model. `metrics` lacks those by class and trial, which the version itself has."""

    summary: list[str] = Field(description="Accuracy, comparison with source-only and what is served, in plain sentences.")
    number: int
    modality: str
    metrics: SkipValidation[VersionMetrics]
    digest: str = Field(description="SHA-256 of manifest.json, which contains the digests of the other artifacts.")
    size_bytes: int = Field(description="Total size of all artifacts.")
    description: str
    tags: list[str]
    created_at: datetime

    @classmethod
    def of(cls, row: VersionRow) -> "VersionSummary":
        """Build the response for a row in a list."""
        metrics = {name: value for name, value in row.metrics.items() if name not in DETAILED_METRICS}
        return cls(**cls.columns_of(row) | {"metrics": metrics})

    @staticmethod
    def columns_of(row: VersionRow) -> dict[str, Any]:
        """Return the values of a row."""
        columns = {name: getattr(row, name) for name in VersionSummary.model_fields if name != "summary"}
        return columns | {"summary": summarize(row.metrics)}


class ModelOut(BaseModel):
    """A name with numbered versions."""

    name: str
    description: str
    tags: list[str]
    created_at: datetime
    aliases: list[AliasOut]
    newest: VersionSummary
    versions: int = Field(description="Number of versions. `GET /models/{name}/versions` lists them.")

    @classmethod
    def of(cls, overview: ModelOverview) -> "ModelOut":
        model = overview.model
        return cls(
            name=model.name,
            description=model.description,
            tags=model.tags,
            created_at=model.created_at,
            aliases=[AliasOut.of(alias) for alias in model.aliases],
            newest=VersionSummary.of(overview.newest),
            versions=overview.count,
        )


class ArtifactOut(BaseModel):
    """One stored file of a version."""

    name: str
    digest: str = Field(description="SHA-256, in hex.")
    size_bytes: int

    @classmethod
    def of(cls, row: ArtifactRow) -> "ArtifactOut":
        return cls(name=row.name, digest=row.digest, size_bytes=row.size_bytes)


class EncoderReference(BaseModel):
    """A pretrained encoder and the licence of its weights."""

    id: str
    licence: str
    origin: str


class Lineage(BaseModel):
    """The origin of a version. A deleted dataset keeps its id."""

    job: UUID
    algorithm: str
    source: UUID | None = Field(description="The first source.")
    sources: list[UUID]
    target: UUID | None
    evaluation: UUID | None
    base: VersionReference | None = Field(
        description="The version that the job started from, if any. A deleted one keeps its name and number."
    )
    encoder: EncoderReference | None = Field(description="The encoder of the catalogue whose weights the version contains.")

    @classmethod
    def of(cls, row: VersionRow) -> "Lineage":
        base = row.base_version
        deleted = row.job.base.get("model", "") if base is None else ""
        return cls(
            job=row.job_id,
            algorithm=row.job.params["algorithm"],
            source=row.job.source_id,
            sources=row.job.source_ids,
            target=row.job.target_id,
            evaluation=row.job.evaluation_id,
            base=VersionReference(model=base.model.name, number=base.number) if base else _reference(deleted),
            encoder=row.manifest.get("encoder"),
        )


def _reference(text: str) -> VersionReference | None:
    name, colon, number = text.rpartition(":")
    return VersionReference(model=name, number=int(number)) if colon else None


class VersionMeasurements(BaseModel):
    """What labels say about a version, as opposed to the estimates in its `metrics`."""

    labels: Measured | None = Field(description="The newest figures of its label requests.")
    evaluation: StoredEvaluation | None = Field(description="The newest figures that an evaluation stored with it.")


def _measured_sentences(measured: VersionMeasurements) -> list[str]:
    """Return a sentence for each kind of labels that measured the version, beside those about estimates."""
    sentences, labels, evaluation = [], measured.labels, measured.evaluation
    if labels is not None and labels.accuracy is not None:
        sentences.append(f"Measured with {labels.labels} labels: accuracy {_in_percent(labels.accuracy)}.")
    if labels is not None and labels.gain is not None:
        helped = {"yes": "adaptation helped", "no": "adaptation hurt", "unsure": "unclear whether adaptation helped"}[
            labels.helped or "unsure"
        ]
        sentences.append(f"Measured with {labels.labels} labels: {helped}, gain {_in_percent(labels.gain)}.")
    if evaluation is not None:
        sentences.append(f"Measured on {evaluation.rows} labelled rows: accuracy {_in_percent(evaluation.accuracy)}.")
    return sentences


def _in_percent(interval: IntervalOut) -> str:
    ends = f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %"
    return f"{100 * interval.value:.0f} % (90 % interval {ends})"


class VersionOut(VersionSummary):
    """One version with its lineage and its files."""

    model: str
    classes: list[str] = Field(description="Class names in the order of the logits.")
    aliases: list[str]
    lineage: Lineage
    measured: VersionMeasurements
    artifacts: list[ArtifactOut]

    @classmethod
    def with_measurements(cls, row: VersionRow, measured: VersionMeasurements) -> "VersionOut":
        """Build the response for a row and what labels say about it."""
        columns = cls.columns_of(row)
        columns["summary"] += _measured_sentences(measured)
        return cls(
            **columns,
            model=row.model.name,
            classes=Manifest.read(row.manifest).classes,
            aliases=[alias.name for alias in row.model.aliases if alias.version_id == row.id],
            lineage=Lineage.of(row),
            measured=measured,
            artifacts=[ArtifactOut.of(artifact) for artifact in row.artifacts],
        )
