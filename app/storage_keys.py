"""The storage keys of every stored file: the one module that knows how they are built."""

from uuid import UUID


def dataset_folder(dataset_id: UUID) -> str:
    """Return the prefix of a dataset's files."""
    return f"datasets/{dataset_id}"


def dataset_file(dataset_id: UUID, format: str) -> str:
    """Return the key of a dataset's uploaded file."""
    return f"{dataset_folder(dataset_id)}/data.{format}"


def dataset_preview(dataset_id: UUID) -> str:
    """Return the key of a dataset's preview."""
    return f"{dataset_folder(dataset_id)}/preview.json"


def encoder_file(encoder_id: UUID) -> str:
    """Return the key of an uploaded encoder."""
    return f"encoders/{encoder_id}/checkpoint.zip"


def job_folder(job_id: UUID) -> str:
    """Return the prefix of the files of all attempts of a job."""
    return f"jobs/{job_id}"


def owner_folder(key: str) -> str:
    """Return the prefix of all files of the dataset, encoder or job that owns this file."""
    return "/".join(key.split("/")[:2])


def attempt_folder(job_id: UUID, attempt: int) -> str:
    """Return the prefix of one attempt's files. Each attempt has its own, so that a lost one overwrites nothing."""
    return f"{job_folder(job_id)}/{attempt}"


def attempt_file(job_id: UUID, attempt: int, name: str) -> str:
    """Return the key of a file that an attempt stores."""
    return f"{attempt_folder(job_id, attempt)}/{name}"


def artifact_file(job_id: UUID, attempt: int, name: str) -> str:
    """Return the key of a file of the version that an attempt produces."""
    return attempt_file(job_id, attempt, f"artifacts/{name}")
