"""The kinds of jobs.

Decision: the folder is the registry, as for algorithms. A module here describes a kind for the app and the supervisor; the module
of the same name in `worker.jobs` has the code that the trainer runs, `run(context)`. Context: leases, supervisor, trainer,
metrics and messages all depend on the kind. Consequences: a new kind is one file here, one in `worker.jobs`, and routes of its
own in `app.api`; no existing file is edited, and the column `job.kind` has no list of allowed values. Alternatives: an enum with
a `match` in each of these modules (a new kind edited eleven files).
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from app.job_types.base import JobType


def _job_type(name: str) -> JobType[Any]:
    """Return the instance that this module defines."""
    values = vars(import_module(f"{__name__}.{name}")).values()
    return next(value for value in values if isinstance(value, JobType) and value.name == name)


JOB_TYPES: dict[str, JobType[Any]] = {
    module.name: _job_type(module.name) for module in iter_modules(__path__) if module.name != "base"
}
