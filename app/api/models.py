"""Routes of models."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from app.api import downloads
from app.api.authorization import CallerDep, requires
from app.api.deps import DatabaseDep, RequireJson, SessionDep, StorageDep, error_responses
from app.api.downloads import ConditionsDep, Download
from app.api.request_bodies import PredictorDep
from app.artifacts import EMBEDDING_FILE
from app.auth import audit
from app.db.tables import ArtifactRow, VersionRow
from app.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    InvalidRequest,
    ModelInUse,
    ModelNameTaken,
    ModelNotFound,
    RangeNotSatisfiable,
    UnsupportedContentType,
    UploadTooLarge,
    VersionInUse,
)
from app.model_reference import PRODUCTION
from app.schemas.embedding import EmbeddingOut
from app.schemas.evaluation_figures import StoredEvaluation
from app.schemas.jobs import ModelName
from app.schemas.labels import LabelsChange, ModelChange
from app.schemas.models import AliasOut, AliasSet, ModelOut, VersionMeasurements, VersionNumber, VersionOut, VersionSummary
from app.schemas.pagination import Page
from app.services import deletion, embeddings, evaluations, label_requests, models, version_report

router = APIRouter(prefix="/models", tags=["models"])

_READ, _PROMOTE = requires("models:read"), requires("models:promote")
_WRITE, _DELETE = requires("models:write"), requires("models:delete")

Name = Annotated[ModelName, Path()]
Alias = Annotated[ModelName, Path()]
Number = Annotated[VersionNumber, Path()]
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["model.onnx"])]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")]


@router.get("", dependencies=[_READ], responses=error_responses(InvalidRequest))
def list_models(session: SessionDep, limit: Limit = 20, after: After = None) -> Page[ModelOut]:
    """List all models with their newest versions, newest first."""
    overviews, cursor = models.page(session, limit, after)
    return Page(data=[ModelOut.of(overview) for overview in overviews], next=cursor)


@router.get("/{name}", dependencies=[_READ], responses=error_responses(ModelNotFound, InvalidRequest))
def get_model(name: Name, session: SessionDep) -> ModelOut:
    """Return one model with its newest version and its aliases."""
    return ModelOut.of(models.overview(session, name))


@router.patch(
    "/{name}",
    dependencies=[_WRITE, RequireJson],
    responses=error_responses(ModelNotFound, ModelNameTaken, ModelInUse, InvalidRequest, UploadTooLarge, UnsupportedContentType),
)
def change_model(name: Name, body: ModelChange, session: SessionDep, caller: CallerDep) -> ModelOut:
    """Change name, description or tags. Predictions by the old name stop at once."""
    caller.require_model(body.name or name)
    return ModelOut.of(models.change(session, name, body.values()))


@router.delete(
    "/{name}", status_code=204, dependencies=[_DELETE], responses=error_responses(ModelNotFound, ModelInUse, InvalidRequest)
)
def delete_model(name: Name, session: SessionDep, storage: StorageDep) -> None:
    """Delete a model with all its versions and their files. Its jobs remain. Aliases and active jobs prevent it."""
    deletion.delete_model(session, storage, name)


@router.get("/{name}/versions", dependencies=[_READ], responses=error_responses(ModelNotFound, InvalidRequest))
def list_versions(name: Name, session: SessionDep, limit: Limit = 20, after: After = None) -> Page[VersionSummary]:
    """List all versions of a model, newest first."""
    rows, cursor = models.versions(session, name, limit, after)
    return Page(data=[VersionSummary.of(row) for row in rows], next=cursor)


@router.get(
    "/{name}/versions/{number}",
    dependencies=[_READ],
    responses=error_responses(ModelNotFound, InvalidRequest, ArtifactCorrupt),
)
def get_version(name: Name, number: Number, session: SessionDep) -> VersionOut:
    """Return one version with its metrics, lineage and files."""
    return _version_out(session, models.version(session, name, number))


@router.patch(
    "/{name}/versions/{number}",
    dependencies=[_WRITE, RequireJson],
    responses=error_responses(ModelNotFound, InvalidRequest, ArtifactCorrupt, UploadTooLarge, UnsupportedContentType),
)
def change_version(name: Name, number: Number, body: LabelsChange, session: SessionDep) -> VersionOut:
    """Change description or tags."""
    return _version_out(session, models.change_version(session, name, number, body.values()))


def _version_out(session: Session, row: VersionRow) -> VersionOut:
    newest = evaluations.newest(session, row.id)
    evaluation = None if newest is None else StoredEvaluation.of(newest)
    return VersionOut.with_measurements(
        row, VersionMeasurements(labels=label_requests.measured(session, row.id), evaluation=evaluation)
    )


@router.get(
    "/{name}/versions/{number}/evaluations", dependencies=[_READ], responses=error_responses(ModelNotFound, InvalidRequest)
)
def list_version_evaluations(
    name: Name, number: Number, session: SessionDep, limit: Limit = 20, after: After = None
) -> Page[StoredEvaluation]:
    """List the figures that evaluations stored with a version, newest first."""
    rows, cursor = evaluations.page(session, name, number, limit, after)
    return Page(data=[StoredEvaluation.of(row) for row in rows], next=cursor)


@router.delete(
    "/{name}/versions/{number}",
    status_code=204,
    dependencies=[_DELETE],
    responses=error_responses(ModelNotFound, VersionInUse, InvalidRequest),
)
def delete_version(name: Name, number: Number, session: SessionDep, storage: StorageDep) -> None:
    """Delete a version and its files. Its job remains. Aliases and active jobs prevent it. The number is not used again."""
    deletion.delete_version(session, storage, name, number)


@router.put(
    "/{name}/aliases/{alias}",
    dependencies=[_PROMOTE, RequireJson],
    responses=error_responses(ModelNotFound, InvalidRequest, UploadTooLarge, UnsupportedContentType),
)
async def set_alias(
    name: Name, alias: Alias, body: AliasSet, database: DatabaseDep, predictor: PredictorDep, caller: CallerDep
) -> AliasOut:
    """Set an alias to a version. The next prediction uses it. A reference without version or alias means `@production`."""
    for reference in (f"{name}@{alias}", *([name] if alias == PRODUCTION else [])):
        await asyncio.to_thread(predictor.resolver.preload, caller.project, reference, f"{name}:{body.version}")
    return await database.run(lambda session: AliasOut.of(models.set_alias(session, name, alias, body.version)))


@router.delete(
    "/{name}/aliases/{alias}",
    dependencies=[_PROMOTE],
    status_code=204,
    responses=error_responses(ModelNotFound, InvalidRequest),
)
def delete_alias(name: Name, alias: Alias, session: SessionDep) -> None:
    """Delete an alias. Its version remains."""
    models.delete_alias(session, name, alias)


@router.get(
    "/{name}/versions/{number}/report",
    dependencies=[_READ],
    response_class=HTMLResponse,
    responses=error_responses(ModelNotFound, InvalidRequest, ArtifactCorrupt),
)
def get_report(name: Name, number: Number, session: SessionDep) -> HTMLResponse:
    """Return the report of a version as one HTML file, which contains all that it shows."""
    page = version_report.render(_version_out(session, models.version(session, name, number)))
    return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})


@router.get(
    "/{name}/versions/{number}/embedding",
    dependencies=[_READ],
    responses=error_responses(ModelNotFound, ArtifactNotFound, InvalidRequest),
)
async def get_embedding(name: Name, number: Number, database: DatabaseDep, storage: StorageDep) -> EmbeddingOut:
    """Return where the features of source and target rows lie in a plane, before and after adaptation."""
    file = await database.run(lambda session: models.artifact(session, name, number, EMBEDDING_FILE), reads_only=True)
    return EmbeddingOut.model_validate(await run_in_threadpool(embeddings.read, storage, file.storage_key))


@router.get(
    "/{name}/versions/{number}/artifacts/{file}",
    dependencies=[requires("artifacts:read")],
    response_class=Response,
    responses={**downloads.RESPONSES, **error_responses(ModelNotFound, ArtifactNotFound, RangeNotSatisfiable, InvalidRequest)},
)
async def download_artifact(
    name: Name, number: Number, file: FileName, database: DatabaseDep, storage: StorageDep, conditions: ConditionsDep
) -> Response:
    """Download a file of a version. `ETag` is its SHA-256; `Range` requests are supported."""

    def find(session: Session) -> ArtifactRow:
        audit.record(session, "artifact.download", f"models/{name}/versions/{number}/artifacts/{file}")
        return models.artifact(session, name, number, file)

    artifact = await database.run(find)  # its transaction ends before the storage, which may be slow, is read
    media_type = "application/json" if artifact.name.endswith(".json") else "application/octet-stream"
    download = Download(artifact.storage_key, artifact.digest, artifact.size_bytes, artifact.name, media_type)
    return await run_in_threadpool(downloads.file_response, download, storage, conditions)
