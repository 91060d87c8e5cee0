"""Routes of health checks and metrics."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric
from pydantic import BaseModel

from app.api.authorization import OPEN, requires
from app.api.deps import AllSessionsDep, QueueDep, SettingsDep
from app.api.problem_details import problem
from app.errors import NotReady, SchemaMismatch
from app.observability.health import Dependencies
from app.observability.metrics import job_metrics, queue_depth, render, worker_metrics

router = APIRouter(tags=["health"])

Condition = Literal["ok", "error"]
Result = TypeVar("Result")
_PROBES = CapacityLimiter(4)


class Live(BaseModel):
    """Liveness of the process."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Condition of each dependency of this process."""

    database: Condition
    broker: Condition
    storage: Condition


async def get_dependencies(request: Request) -> Dependencies:
    """Return the dependencies of this process."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


DependenciesDep = Annotated[Dependencies, Depends(get_dependencies)]


async def in_probe_thread(check: Callable[[], Result]) -> Result:
    """Run a check that blocks for seconds at most, in threads that no other request uses."""
    return await to_thread.run_sync(check, limiter=_PROBES)


@router.get("/health/live", dependencies=[OPEN])
async def live() -> Live:
    """Return 200 while the process can respond. If this check fails, restart the process."""
    return Live()


@router.get(
    "/health/ready",
    dependencies=[OPEN],
    response_model=Ready,
    responses={
        503: {
            "description": "`not_ready`: a problem document with the members of the 200 response. The log gives the reason.",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    },
)
async def ready(request: Request, dependencies: DependenciesDep) -> Any:
    """Return 200 if database, broker and storage are reachable and the schema is right. If this fails, send no traffic."""
    results = await in_probe_thread(dependencies.errors)
    errors = {name: error for name, error in results.items() if error is not None}
    conditions: dict[str, Condition] = {name: "error" if name in errors else "ok" for name in Ready.model_fields}
    if not errors:
        return Ready(**conditions)
    return problem(request, NotReady(_detail(errors)), conditions)


def _detail(errors: Mapping[str, Exception]) -> str:
    """Return the reasons that are safe for callers; the log has the others."""
    texts = [error.message for error in errors.values() if isinstance(error, SchemaMismatch)]
    unreachable = [name for name, error in errors.items() if not isinstance(error, SchemaMismatch)]
    return " ".join([*texts, *([f"Not reachable: {', '.join(unreachable)}."] if unreachable else [])])


@router.get(
    "/metrics", dependencies=[requires("metrics")], response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
async def metrics(dependencies: DependenciesDep, sessions: AllSessionsDep, queue: QueueDep, settings: SettingsDep) -> Response:
    """Return Prometheus metrics. If a dependency is unreachable, only its own metrics are missing."""

    def jobs() -> list[Metric]:
        with sessions.for_reading() as session:
            return job_metrics(session) + worker_metrics(session, settings.lease_seconds)

    checks = {"database": jobs, "broker": lambda: [queue_depth(queue.depth())]}
    results = await in_probe_thread(lambda: dependencies.run_checks(checks))
    is_up = {name: not isinstance(result, Exception) for name, result in results.items()}
    families = [family for result in results.values() if not isinstance(result, Exception) for family in result]
    return Response(render(is_up, families), media_type=CONTENT_TYPE_LATEST)
