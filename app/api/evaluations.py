"""Routes of evaluations."""

from app.api.job_routes import JobResource, job_routes
from app.auth.caller import Caller
from app.job_types.evaluation import EVALUATION
from app.schemas.evaluations import EvaluationCreate, EvaluationOut
from app.services import evaluations
from app.settings import Settings


def _check(request: EvaluationCreate, caller: Caller, _: Settings) -> None:
    """Raise Forbidden if the caller may not use one of the models."""
    for reference in request.versions:
        caller.require_model(reference)


router = job_routes(
    JobResource(
        job_type=EVALUATION,
        request=EvaluationCreate,
        response=EvaluationOut,
        submit=evaluations.submit,
        scopes="jobs",
        check=_check,
        delete_note="Its figures stay with the versions.",
        metrics_note="The figures are `results` of the evaluation.",
    )
)
