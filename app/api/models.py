"""Routes of models."""

import base64
from collections.abc import Iterator
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Header, Path, Query, Response
from starlette.responses import FileResponse, StreamingResponse

from app.api.deps import JsonOnly, SessionDep, SessionsDep, StorageDep, documented
from app.db.tables import ArtifactRow
from app.errors import ArtifactNotFound, InvalidRequest, ModelNotFound, UnsupportedContentType, UploadTooLarge
from app.schemas.jobs import ModelName
from app.schemas.models import AliasOut, AliasSet, ModelOut, VersionNumber, VersionOut, VersionSummary
from app.schemas.page import Page
from app.services import models
from app.storage import CHUNK, Storage

router = APIRouter(prefix="/models", tags=["models"])

Name = Annotated[ModelName, Path()]
Alias = Annotated[ModelName, Path()]
Number = Annotated[VersionNumber, Path()]
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["model.onnx"])]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]
IfNoneMatch = Annotated[str | None, Header(description="The `ETag` of a copy that the caller has.")]


@router.get("", responses=documented(InvalidRequest))
def list_models(session: SessionDep, limit: Limit = 20, after: After = None) -> Page[ModelOut]:
    """All models, newest first, each with its newest version."""
    found, following = models.page(session, limit, after)
    return Page(data=[ModelOut.of(one) for one in found], next=following)


@router.get("/{name}", responses=documented(ModelNotFound, InvalidRequest))
def get_model(name: Name, session: SessionDep) -> ModelOut:
    """One model with its newest version and its aliases."""
    return ModelOut.of(models.overview(session, name))


@router.get("/{name}/versions", responses=documented(ModelNotFound, InvalidRequest))
def list_versions(name: Name, session: SessionDep, limit: Limit = 20, after: After = None) -> Page[VersionSummary]:
    """All versions of a model, newest first."""
    rows, following = models.versions(session, name, limit, after)
    return Page(data=[VersionSummary.of(row) for row in rows], next=following)


@router.get("/{name}/versions/{number}", responses=documented(ModelNotFound, InvalidRequest))
def get_version(name: Name, number: Number, session: SessionDep) -> VersionOut:
    """One version: metrics, lineage, files."""
    return VersionOut.of(models.version(session, name, number))


@router.put(
    "/{name}/aliases/{alias}",
    dependencies=[JsonOnly],
    responses=documented(ModelNotFound, InvalidRequest, UploadTooLarge, UnsupportedContentType),
)
def set_alias(name: Name, alias: Alias, body: AliasSet, session: SessionDep) -> AliasOut:
    """Point an alias at a version; the next prediction sees it."""
    return AliasOut.of(models.set_alias(session, name, alias, body.version))


@router.delete("/{name}/aliases/{alias}", status_code=204, responses=documented(ModelNotFound, InvalidRequest))
def delete_alias(name: Name, alias: Alias, session: SessionDep) -> None:
    """Take an alias away; its version stays."""
    models.delete_alias(session, name, alias)


@router.get(
    "/{name}/versions/{number}/artifacts/{file}",
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The caller's copy is up to date."},
        **documented(ModelNotFound, ArtifactNotFound, InvalidRequest),
    },
)
def download_artifact(
    name: Name, number: Number, file: FileName, sessions: SessionsDep, storage: StorageDep, if_none_match: IfNoneMatch = None
) -> Response:
    """A file of a version. The `ETag` is its SHA-256; with local storage parts can be asked for with `Range`."""
    with sessions.begin() as session:  # ends before the storage is asked, which may take its time
        artifact = models.artifact(session, name, number, file)
    etag = f'"{artifact.digest}"'
    if if_none_match is not None and (etag in if_none_match or if_none_match.strip() == "*"):
        return Response(status_code=304, headers={"ETag": etag})
    if not storage.exists(artifact.storage_key):
        raise ArtifactNotFound("The file is no longer in the storage.")
    return _file(artifact, storage, etag)


def _file(artifact: ArtifactRow, storage: Storage, etag: str) -> Response:
    digest = base64.b64encode(bytes.fromhex(artifact.digest)).decode()
    headers = {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{digest}:",
        "Content-Disposition": f'attachment; filename="{artifact.name}"',
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    media_type = "application/json" if artifact.name.endswith(".json") else "application/octet-stream"
    if storage.is_local:
        with storage.local(artifact.storage_key) as path:
            return FileResponse(path, headers=headers, media_type=media_type)
    headers["Content-Length"] = str(artifact.size_bytes)
    return StreamingResponse(_chunks(storage.open(artifact.storage_key)), headers=headers, media_type=media_type)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
