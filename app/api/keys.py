"""Routes of API keys and of the audit log, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.authorization import requires
from app.api.deps import RequireJson, SessionDep, error_responses
from app.auth import audit, keys
from app.errors import InvalidRequest, KeyNotFound, UnsupportedContentType, UploadTooLarge
from app.schemas.keys import AuditEntry, KeyCreate, KeyCreated, KeyOut, Project
from app.schemas.pagination import Page
from app.services import pagination

router = APIRouter(tags=["keys"], dependencies=[requires("admin")])

KeyId = Annotated[str, Path(pattern=r"^[0-9A-Za-z]{1,16}$")]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")]


@router.post(
    "/keys",
    status_code=201,
    dependencies=[RequireJson],
    responses=error_responses(InvalidRequest, UploadTooLarge, UnsupportedContentType),
)
def create_key(body: KeyCreate, session: SessionDep, response: Response) -> KeyCreated:
    """Create an API key. The response is the only one that contains its secret."""
    row, text = keys.create(session, body.rights())
    session.refresh(row)
    response.headers["Location"] = f"/keys/{row.id}"
    response.headers["Cache-Control"] = "no-store"
    return KeyCreated.with_text(row, text)


@router.get("/keys", responses=error_responses(InvalidRequest))
def list_keys(session: SessionDep, limit: Limit = 20, after: After = None) -> Page[KeyOut]:
    """List the keys of all projects, newest first, revoked ones included."""
    cursor = None if after is None else pagination.decode(after, pagination.utc, str)
    rows = keys.page(session, limit + 1, cursor)
    following = pagination.encode(rows[limit - 1].created_at.isoformat(), rows[limit - 1].id) if len(rows) > limit else None
    return Page(data=[KeyOut.of(row) for row in rows[:limit]], next=following)


@router.get("/keys/{key_id}", responses=error_responses(KeyNotFound, InvalidRequest))
def get_key(key_id: KeyId, session: SessionDep) -> KeyOut:
    """Return one key without its secret."""
    return KeyOut.of(keys.get(session, key_id))


@router.delete("/keys/{key_id}", responses=error_responses(KeyNotFound, InvalidRequest))
def revoke_key(key_id: KeyId, session: SessionDep) -> KeyOut:
    """Revoke a key. All servers refuse it within a second; its row remains."""
    return KeyOut.of(keys.revoke(session, key_id))


@router.get("/audit", responses=error_responses(InvalidRequest))
def list_audit_entries(
    session: SessionDep,
    project: Annotated[Project | None, Query(description="Only entries of this project.")] = None,
    limit: Limit = 20,
    after: After = None,
) -> Page[AuditEntry]:
    """List the entries of the audit log, newest first, of all projects or of one."""
    before = None if after is None else pagination.decode(after, pagination.number)[0]
    rows = audit.page(session, limit + 1, before, project)
    following = pagination.encode(rows[limit - 1].id) if len(rows) > limit else None
    return Page(data=[AuditEntry.model_validate(row) for row in rows[:limit]], next=following)
