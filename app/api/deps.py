"""Dependencies of the routes: database sessions, the queue, the storage, the settings."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.broker.queue import JobQueue
from app.db.request_database import RequestDatabase
from app.db.session import SessionFactory
from app.errors import ServiceError, UnsupportedContentType
from app.services.job_watcher import JobWatcher
from app.services.upload_checks.pool import CheckPool
from app.settings import Settings
from app.storage import Storage

_READING = ("GET", "HEAD")


async def get_session(request: Request) -> AsyncIterator[Session]:
    """Yield a session whose transaction spans the request: commit when the route returns, roll back when it raises."""
    database: RequestDatabase = request.app.state.database
    async with database.transaction(reads_only=request.method in _READING) as session:
        yield session


# FastAPI would run synchronous functions in threads
async def get_database(request: Request) -> RequestDatabase:
    """Return the database, for routes that do other work too and must not hold a transaction meanwhile."""
    database: RequestDatabase = request.app.state.database
    return database


async def get_sessions(request: Request) -> SessionFactory:
    """Return the session factory, for work that runs in threads of its own."""
    sessions: SessionFactory = request.app.state.sessions
    return sessions


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
DatabaseDep = Annotated[RequestDatabase, Depends(get_database)]
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
