"""Dependencies of the routes: database sessions, the queue, the storage, the settings."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.api.authorization import ActorDep, CallerDep
from app.auth.audit import ACTOR
from app.broker.queue import JobQueue
from app.db.projects import ScopedSessions
from app.db.request_database import CallerDatabase
from app.db.session import SessionFactory
from app.errors import ServiceError, UnsupportedContentType
from app.services.job_watcher import JobWatcher
from app.services.quotas import QUOTAS, Quotas
from app.services.upload_checks.pool import CheckPool
from app.settings import Settings
from app.storage import Storage

_READING = ("GET", "HEAD")
SCHEMA_REFERENCE = "#/components/schemas/{model}"
"""Template of references between schemas, for bodies that routes read themselves."""


# FastAPI would run synchronous functions in threads
async def get_all_sessions(request: Request) -> SessionFactory:
    """Return the factory of sessions that see the rows of all projects."""
    sessions: SessionFactory = request.app.state.sessions
    return sessions


async def get_session_info(request: Request, caller: CallerDep, actor: ActorDep) -> Mapping[str, Any]:
    """Return what sessions of the caller know: its project (`app.db.projects`), its quotas, and the name for the audit log."""
    settings: Settings = request.app.state.settings
    quotas = Quotas(settings.quota_queued_jobs, settings.quota_stored_bytes)
    return {**caller.session_info, ACTOR: actor, QUOTAS: quotas}


SessionInfoDep = Annotated[Mapping[str, Any], Depends(get_session_info)]


async def get_sessions(request: Request, info: SessionInfoDep) -> SessionFactory:
    """Return the session factory of the caller, for work that runs in threads of its own."""
    return ScopedSessions(request.app.state.sessions, info)


async def get_database(request: Request, info: SessionInfoDep) -> CallerDatabase:
    """Return the database of the caller, for routes that do other work too and must not hold a transaction meanwhile."""
    return CallerDatabase(request.app.state.database, info)


DatabaseDep = Annotated[CallerDatabase, Depends(get_database)]


async def get_session(request: Request, database: DatabaseDep) -> AsyncIterator[Session]:
    """Yield a session whose transaction spans the request: commit when the route returns, roll back when it raises."""
    async with database.transaction(reads_only=request.method in _READING) as session:
        yield session


async def get_queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.queue
    return queue


async def get_storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


async def get_checks(request: Request) -> CheckPool:
    checks: CheckPool = request.app.state.checks
    return checks


async def get_watcher(request: Request) -> JobWatcher:
    watcher: JobWatcher = request.app.state.watcher
    return watcher


async def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def require_json(request: Request) -> None:
    """Raise UnsupportedContentType unless the content type of the request is JSON."""
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedContentType(f"Send application/json, not {content_type[:100] or 'nothing'}.")


# scope="function": the commit precedes the response, so that a failed commit never gives a successful response
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
SessionsDep = Annotated[SessionFactory, Depends(get_sessions)]
AllSessionsDep = Annotated[SessionFactory, Depends(get_all_sessions)]
QueueDep = Annotated[JobQueue, Depends(get_queue)]
StorageDep = Annotated[Storage, Depends(get_storage)]
WatcherDep = Annotated[JobWatcher, Depends(get_watcher)]
ChecksDep = Annotated[CheckPool, Depends(get_checks)]
RequireJson = Depends(require_json)
SettingsDep = Annotated[Settings, Depends(get_settings)]


def error_responses(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Return the argument `responses` of a route: its errors by status, as RFC 9457 problem documents."""
    by_status: dict[int | str, list[type[ServiceError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(f"`{error.code()}`: {(error.__doc__ or '').strip()}" for error in group),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, group in by_status.items()
    }
