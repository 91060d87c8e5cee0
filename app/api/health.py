"""Routes of health checks and metrics."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric
from pydantic import BaseModel

from app.api.authorization import OPEN, requires
from app.api.deps import QueueDep, SessionsDep
from app.api.problem_details import problem
from app.errors import NotReady
from app.observability.health import Dependencies
from app.observability.metrics import job_metrics, queue_depth, render

router = APIRouter(tags=["health"])

Condition = Literal["ok", "error"]


class Live(BaseModel):
    """Liveness of the process."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Condition of each dependency of this process."""

    database: Condition
    broker: Condition
    storage: Condition


def get_dependencies(request: Request) -> Dependencies:
    """Return the dependencies of this process."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


DependenciesDep = Annotated[Dependencies, Depends(get_dependencies)]


@router.get("/health/live", dependencies=[OPEN])
def live() -> Live:
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
def ready(request: Request, dependencies: DependenciesDep) -> Any:
    """Return 200 if database, broker and storage are reachable. If this check fails, send no traffic."""
    conditions: dict[str, Condition] = {name: "error" if error else "ok" for name, error in dependencies.errors().items()}
    unreachable = [name for name, condition in conditions.items() if condition == "error"]
    if not unreachable:
        return Ready(**conditions)
    return problem(request, NotReady(f"Not reachable: {', '.join(unreachable)}."), conditions)


@router.get(
    "/metrics",
    dependencies=[requires("metrics")],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
def metrics(dependencies: DependenciesDep, sessions: SessionsDep, queue: QueueDep) -> Response:
    """Return Prometheus metrics. If a dependency is unreachable, only its own metrics are missing."""

    def jobs() -> list[Metric]:
        with sessions() as session:
            return job_metrics(session)

    results = dependencies.run_checks({"database": jobs, "broker": lambda: [queue_depth(queue.depth())]})
    is_up = {name: not isinstance(result, Exception) for name, result in results.items()}
    families = [family for result in results.values() if not isinstance(result, Exception) for family in result]
    return Response(render(is_up, families), media_type=CONTENT_TYPE_LATEST)
