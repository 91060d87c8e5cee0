"""Routes of workers."""

from fastapi import APIRouter

from app.api.authorization import requires
from app.api.deps import SessionDep, SettingsDep
from app.observability import workers
from app.schemas.workers import WorkerList, WorkerOut

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("", dependencies=[requires("jobs:read")])
def list_workers(session: SessionDep, settings: SettingsDep) -> WorkerList:
    """List the workers with their state, their hardware and the job that each runs."""
    return WorkerList(data=[WorkerOut.of(view) for view in workers.listed(session, settings.lease_seconds)])
