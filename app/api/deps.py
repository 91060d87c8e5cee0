"""What routes ask for: a session per request, the queue, the storage, the settings."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.orm import Session, sessionmaker

from app.broker.queue import JobQueue
from app.errors import ServiceError, UnsupportedContentType
from app.services.job_watcher import JobWatcher
from app.settings import Settings
from app.storage import Storage


def get_session(request: Request) -> Iterator[Session]:
    """One request, one transaction: commit when the route returns, roll back when it raises."""
    sessions: sessionmaker[Session] = request.app.state.sessions
    with sessions.begin() as session:
        yield session


def get_sessions(request: Request) -> sessionmaker[Session]:
    """For routes that wait or stream and must not hold a transaction meanwhile."""
    sessions: sessionmaker[Session] = request.app.state.sessions
    return sessions


def get_queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.queue
    return queue


def get_storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


def get_watcher(request: Request) -> JobWatcher:
    watcher: JobWatcher = request.app.state.watcher
    return watcher


async def get_settings(request: Request) -> Settings:  # for a plain function FastAPI would go to a thread and back
    settings: Settings = request.app.state.settings
    return settings


def require_json(request: Request) -> None:
    """Raises UnsupportedContentType for a body that does not say it is JSON."""
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedContentType(f"Send application/json, not {content_type[:100] or 'nothing'}.")


# scope="function": commit before the answer goes out, so that a failed commit is never answered with a success
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
SessionsDep = Annotated["sessionmaker[Session]", Depends(get_sessions)]
QueueDep = Annotated[JobQueue, Depends(get_queue)]
StorageDep = Annotated[Storage, Depends(get_storage)]
WatcherDep = Annotated[JobWatcher, Depends(get_watcher)]
RequireJson = Depends(require_json)
SettingsDep = Annotated[Settings, Depends(get_settings)]


def error_responses(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: the errors it can answer, by status, as RFC 9457 problem documents."""
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
