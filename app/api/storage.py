"""Route of the storage's usage."""

from functools import partial
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query

from app.api.authorization import CallerDep, requires
from app.api.deps import AllSessionsDep, DatabaseDep, StorageDep, error_responses
from app.auth.scopes import ADMIN
from app.db.session import SessionFactory
from app.errors import Forbidden, InvalidRequest
from app.schemas.storage import StorageOut, UnreferencedOut, UsageOut
from app.services import storage_usage
from app.storage import Storage

router = APIRouter(tags=["storage"], dependencies=[requires("storage:read")])

MAX_KEYS = 100
_SCANS = CapacityLimiter(1)


@router.get("/storage", responses=error_responses(InvalidRequest))
async def get_storage_usage(
    database: DatabaseDep,
    caller: CallerDep,
    sessions: AllSessionsDep,
    storage: StorageDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="Number of models and of datasets.")] = 100,
    scan: Annotated[bool, Query(description="Whether to list all files to find unreferenced ones. It may take minutes.")] = False,
) -> StorageOut:
    """Return the usage of the storage by models and datasets, the largest first."""
    if scan and not caller.has_scope(ADMIN):
        raise Forbidden(f"Only keys with the scope `{ADMIN}` may list the files of all projects. Leave out `scan`.")
    usage = await database.run(partial(storage_usage.usage, limit=limit), reads_only=True)
    scan_result = await to_thread.run_sync(_scan, sessions, storage, limiter=_SCANS) if scan else None
    return StorageOut(
        totals=[UsageOut.model_validate(one) for one in usage.totals],
        models=[UsageOut.model_validate(one) for one in usage.models],
        datasets=[UsageOut.model_validate(one) for one in usage.datasets],
        pending_deletions=usage.pending_deletions,
        unreferenced=scan_result,
    )


def _scan(sessions: SessionFactory, storage: Storage) -> UnreferencedOut:
    files = list(storage_usage.unreferenced(sessions, storage))
    keys = [file.key for file in files[:MAX_KEYS]]
    return UnreferencedOut(count=len(files), size_bytes=sum(file.size_bytes for file in files), keys=keys)
