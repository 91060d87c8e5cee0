"""Routes of adaptation jobs."""

from app.api.job_routes import JobResource, job_routes
from app.errors import IncompatibleDatasets
from app.job_types.adaptation import ADAPTATION
from app.schemas.jobs import JobCreate, JobOut
from app.services import jobs

router = job_routes(
    JobResource(
        job_type=ADAPTATION,
        request=JobCreate,
        response=JobOut,
        submit=jobs.submit,
        scopes="jobs",
        submit_errors=[IncompatibleDatasets],
        list_note="The trials of a search are part of the search.",
    )
)
