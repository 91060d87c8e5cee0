"""Routes of health: for whoever restarts processes, routes traffic, or draws graphs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from app.api.deps import QueueDep, SessionsDep
from app.api.problem_details import problem
from app.errors import ServiceUnavailable
from app.observability.health import Dependencies
from app.observability.metrics import job_metrics, queue_depth, render

router = APIRouter(tags=["health"])

Condition = Literal["ok", "error"]


class NotReady(ServiceUnavailable):
    """A part that this service needs is not reachable."""


class Live(BaseModel):
    """The process runs and answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Which of the parts that this process needs are reachable."""

    database: Condition
    broker: Condition
    storage: Condition


def get_parts(request: Request) -> Dependencies:
    parts: Dependencies = request.app.state.parts
    return parts


PartsDep = Annotated[Dependencies, Depends(get_parts)]


@router.get("/health/live")
def live() -> Live:
    """Always 200 while the process can answer at all: restart it when this fails."""
    return Live()


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={
        503: {
            "description": "`not_ready`: a problem document that also has the members of the 200 answer. The log says why.",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    },
)
def ready(request: Request, parts: PartsDep) -> Any:
    """200 when database, broker and storage are reachable: send no traffic when this fails."""
    conditions: dict[str, Condition] = {part: "error" if error else "ok" for part, error in parts.errors().items()}
    away = [part for part, condition in conditions.items() if condition == "error"]
    if not away:
        return Ready(**conditions)
    return problem(request, NotReady(f"Not reachable: {', '.join(away)}."), conditions)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(parts: PartsDep, sessions: SessionsDep, queue: QueueDep) -> Response:
    """Prometheus metrics. A part that is away is reported as such and its own metrics are missing; the rest is there."""

    def jobs() -> Any:
        with sessions() as session:
            return job_metrics(session)

    answers = parts.run_checks({"database": jobs, "broker": lambda: [queue_depth(queue.depth())]})
    up = {part: not isinstance(answer, Exception) for part, answer in answers.items()}
    families = [family for answer in answers.values() if not isinstance(answer, Exception) for family in answer]
    return Response(render(up, families), media_type=CONTENT_TYPE_LATEST)
