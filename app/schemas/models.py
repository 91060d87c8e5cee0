"""Models, their versions, aliases and artifacts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from app.artifacts import Manifest
from app.db.tables import AliasRow, ArtifactRow, VersionRow
from app.db.views import ModelOverview
from app.model_reference import LARGEST_NUMBER
from app.schemas.jobs import VersionReference
from app.schemas.version_metrics import VersionMetrics

VersionNumber = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]


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
    """One version in the list of its model."""

    number: int
    modality: str
    metrics: SkipValidation[VersionMetrics]
    digest: str = Field(description="SHA-256 of manifest.json, which holds the digests of the other artifacts.")
    size_bytes: int = Field(description="Of all artifacts.")
    created_at: datetime

    @classmethod
    def of(cls, row: VersionRow) -> "VersionSummary":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class ModelOut(BaseModel):
    """A name with numbered versions."""

    name: str
    created_at: datetime
    aliases: list[AliasOut]
    newest: VersionSummary
    versions: int = Field(description="How many there are; `GET /models/{name}/versions` lists them.")

    @classmethod
    def of(cls, found: ModelOverview) -> "ModelOut":
        model = found.model
        return cls(
            name=model.name,
            created_at=model.created_at,
            aliases=[AliasOut.of(alias) for alias in model.aliases],
            newest=VersionSummary.of(found.newest),
            versions=found.count,
        )


class ArtifactOut(BaseModel):
    """One stored file of a version."""

    name: str
    digest: str = Field(description="SHA-256, in hex.")
    size_bytes: int

    @classmethod
    def of(cls, row: ArtifactRow) -> "ArtifactOut":
        return cls(name=row.name, digest=row.digest, size_bytes=row.size_bytes)


class Lineage(BaseModel):
    """The origin of a version. A deleted dataset keeps its id."""

    job: UUID
    algorithm: str
    source: UUID | None
    target: UUID | None
    evaluation: UUID | None
    base: VersionReference | None = Field(description="The version that the job went on from, if it did.")

    @classmethod
    def of(cls, row: VersionRow) -> "Lineage":
        base = row.base_version
        return cls(
            job=row.job_id,
            algorithm=row.job.params["algorithm"],
            source=row.job.source_id,
            target=row.job.target_id,
            evaluation=row.job.evaluation_id,
            base=VersionReference(model=base.model.name, number=base.number) if base else None,
        )


class VersionOut(VersionSummary):
    """One version with its lineage and its files."""

    model: str
    classes: list[str] = Field(description="In the order of the logits.")
    aliases: list[str]
    lineage: Lineage
    artifacts: list[ArtifactOut]

    @classmethod
    def of(cls, row: VersionRow) -> "VersionOut":
        same = VersionSummary.of(row).model_dump()
        return cls(
            **same,
            model=row.model.name,
            classes=Manifest.read(row.manifest).classes,
            aliases=[alias.name for alias in row.model.aliases if alias.version_id == row.id],
            lineage=Lineage.of(row),
            artifacts=[ArtifactOut.of(artifact) for artifact in row.artifacts],
        )
