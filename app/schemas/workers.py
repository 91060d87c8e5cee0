"""Workers."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from app.db.views import State, WorkerView


class GpuOut(BaseModel):
    """One GPU of a worker. Null: the driver does not report it."""

    name: str
    utilisation: float | None = Field(ge=0, le=1, description="Fraction of the last second in which it computed.")
    memory_used_bytes: int | None
    memory_total_bytes: int | None


class DeviceOut(BaseModel):
    """The hardware on which a worker runs its jobs."""

    kind: Literal["cpu", "cuda"]
    cores: int
    gpus: list[GpuOut]


class WorkerOut(BaseModel):
    """A worker process, which runs one job at a time."""

    id: str
    host: str
    state: State = Field(description="lost: its heartbeats have stopped.")
    job: UUID | None = Field(description="The job that it runs, if it belongs to your project.")
    device: DeviceOut
    started_at: datetime
    seen_at: datetime = Field(description="Time of the last heartbeat.")

    @classmethod
    def of(cls, view: WorkerView) -> "WorkerOut":
        """Build the response for a worker."""
        row = view.worker
        columns: dict[str, Any] = {name: getattr(row, name) for name in ("id", "host", "device", "started_at", "seen_at")}
        return cls(**columns, state=view.state, job=view.job_id)


class WorkerList(BaseModel):
    """All workers."""

    data: list[WorkerOut]
