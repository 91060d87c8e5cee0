"""Routes of adaptation jobs."""

from app.api.job_routes import JobResource, job_routes
from app.auth.caller import Caller
from app.errors import IncompatibleDatasets
from app.job_types.adaptation import ADAPTATION
from app.schemas.jobs import JobCreate, JobOut, ModelBase
from app.services import jobs
from app.services.pretrained_sources import PretrainedSources
from app.settings import Settings


def _check(request: JobCreate, caller: Caller, settings: Settings) -> None:
    """Raise Forbidden for models or encoders that the caller may not use, InvalidRequest for encoders that no worker may load."""
    caller.require_model(request.model)
    if isinstance(request.base, ModelBase):
        caller.require_model(request.base.model)
    pretrained = getattr(request.base, "pretrained", None)
    if pretrained is not None:
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
