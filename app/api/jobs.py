"""Routes of adaptation jobs."""

from app.api.authorization import CallerDep, requires
from app.api.deps import RequireJson, SessionDep, SettingsDep, error_responses
from app.api.job_routes import JobResource, job_routes
from app.auth.caller import Caller
from app.encoders.catalogue import UPLOAD, known
from app.errors import IncompatibleDatasets, InvalidRequest, UnsupportedContentType, UploadTooLarge
from app.job_types.adaptation import ADAPTATION
from app.schemas.jobs import JobCheckOut, JobCreate, JobOut, ModelBase
from app.services import job_requests, jobs
from app.services.encoders import AUTO
from app.services.pretrained_sources import PretrainedSources
from app.settings import Settings


def _check(request: JobCreate, caller: Caller, settings: Settings) -> None:
    """Raise Forbidden for models or encoders that the caller may not use, InvalidRequest for encoders that no worker may load."""
    caller.require_model(request.model)
    if isinstance(request.base, ModelBase):
        caller.require_model(request.base.model)
    pretrained = getattr(request.base, "pretrained", None)
    if pretrained is not None and pretrained != AUTO and known(pretrained) is None and not pretrained.startswith(UPLOAD):
        caller.require_scope("pretrained")
        PretrainedSources.of(settings).check(pretrained)


router = job_routes(
    JobResource(
        job_type=ADAPTATION,
        request=JobCreate,
        response=JobOut,
        submit=jobs.submit,
        scopes="jobs",
        check=_check,
        submit_errors=[IncompatibleDatasets],
        delete_note="A job whose version exists cannot be deleted.",
        list_note="The trials of a search are part of the search.",
    )
)


@router.post(
    "/check",
    dependencies=[requires("jobs:write"), RequireJson],
    response_model=JobCheckOut,
    responses=error_responses(InvalidRequest, UploadTooLarge, UnsupportedContentType),
)
def check_job(body: JobCreate, session: SessionDep, caller: CallerDep, settings: SettingsDep) -> job_requests.JobCheck:
    """Compare the datasets and parameters of an adaptation without submitting it. `POST /jobs` does the same check."""
    _check(body, caller, settings)
    return job_requests.check(session, body)
