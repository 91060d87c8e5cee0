"""Routes of adaptation jobs."""

from app.api.job_routes import JobResource, job_routes
from app.errors import IncompatibleDatasets
from app.job_types.adaptation import ADAPTATION
from app.schemas.jobs import JobCreate, JobOut
from app.services import jobs
from app.services.pretrained_sources import PretrainedSources
from app.settings import Settings


def check_pretrained(request: JobCreate, settings: Settings) -> None:
    """Raise InvalidRequest for a pretrained encoder that no worker may load."""
    pretrained = getattr(request.base, "pretrained", None)
    if pretrained is not None:
        PretrainedSources.of(settings).check(pretrained)


router = job_routes(
    JobResource(
        job_type=ADAPTATION,
        request=JobCreate,
        response=JobOut,
        submit=jobs.submit,
        scopes="jobs",
        check=check_pretrained,
        submit_errors=[IncompatibleDatasets],
        list_note="The trials of a search are part of the search.",
    )
)
