"""The checks of one upload, as functions of the server that run in a child process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from app.errors import FieldError, InvalidDataset, InvalidRequest, ServiceError
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile, Profile
from app.schemas.datasets import DatasetCreate
from app.services.format_detection import DetectedFormat
from app.services.upload_checks.child_process import IDLE, ChildEndedError, ChildProcess
from app.settings import Settings

log = structlog.get_logger()
_ERRORS: dict[str, type[ServiceError]] = {error.__name__: error for error in (InvalidDataset, InvalidRequest)}


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """What the checks of one upload may use."""

    seconds: float = 600
    memory_bytes: int = 4 * 1024**3

    @classmethod
    def of(cls, settings: Settings) -> "CheckLimits":
        return cls(settings.upload_check_seconds, settings.upload_check_memory_bytes)


class UploadChecker:
    """A context manager that checks one upload in one child, under one deadline.

    All checks raise InvalidRequest, or InvalidDataset for a corrupt file and for a check that exceeds a limit.
    """

    def __init__(self, limits: CheckLimits = CheckLimits()) -> None:
        self._limits = limits
        self._deadline = 0.0
        self._child: ChildProcess | None = None
        self._aborted = False

    def detect(self, path: Path, filename: str, form: DatasetCreate) -> DetectedFormat:
        """Return the one modality that can read the file, with format and options."""
        found = self._ask({"action": "detect", "path": str(path), "filename": filename, "form": form.model_dump(mode="json")})
        modality = MODALITIES[found["modality"]]
        return DetectedFormat(modality, found["format"], modality.options.model_validate(found["options"]))

    def check(self, path: Path, detected: DetectedFormat) -> Profile:
        """Read the whole file and return its profile."""
        options = detected.options.model_dump(mode="json")
        request = {"action": "check", "path": str(path), "modality": detected.modality.name, "format": detected.format}
        return Profile(format=detected.format, **self._ask(request | {"options": options}))

    def check_encoder(self, path: Path) -> str:
        """Read the whole archive of a checkpoint and return its modality."""
        return str(self._ask({"action": "check_encoder", "path": str(path)}))

    def preview(self, file: DatasetFile, modality: str, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return the examples at these positions as JSON."""
        examples: list[dict[str, Any]] = self._ask(_reading("preview", file, modality) | {"rows": list(rows)})
        return examples

    def example(self, file: DatasetFile, modality: str, row: int) -> list[dict[str, Any]]:
        """Return the example at this position in full, in a list that is empty if there is none."""
        examples: list[dict[str, Any]] = self._ask(_reading("example", file, modality) | {"row": row})
        return examples

    def abort(self) -> None:
        """End the current check and all later ones at once; any thread may call this."""
        self._aborted = True
        child = self._child
        if child is not None:
            child.kill()

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._limits.seconds
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        child, self._child = self._child, None
        if child is not None:
            IDLE.give_back(child, self._limits.memory_bytes)

    def _ask(self, request: dict[str, Any]) -> Any:
        if self._aborted:
            raise ChildEndedError("aborted")
        if self._child is None:
            self._child = IDLE.take(self._limits.memory_bytes)
        try:
            reply = self._child.ask(request, self._deadline)
        except TimeoutError as error:
            self._discard("timeout")
            raise _invalid(f"checking the file takes more than {self._limits.seconds:g} seconds") from error
        except ChildEndedError as error:
            self._discard(str(error))
            if self._aborted:
                raise
            memory = self._limits.memory_bytes // 1024**2
            raise _invalid(f"the file cannot be read: it is damaged, or reading it needs more than {memory} MB") from error
        if reply["is_last"]:
            self._discard("it keeps too much memory")
        return self._result(reply)

    def _result(self, reply: dict[str, Any]) -> Any:
        if "error" in reply:
            error = reply["error"]
            raise _ERRORS[error["type"]](error["message"], [FieldError(*field) for field in error["errors"]])
        if "exhausted" in reply:
            self._discard("out of memory")
            raise _invalid(f"reading the file needs more than {self._limits.memory_bytes // 1024**2} MB of memory")
        if "failure" in reply:
            log.error("upload_check.failed", traceback=reply["failure"])
            raise ServiceError
        return reply["result"]

    def _discard(self, reason: str) -> None:
        child, self._child = self._child, None
        if child is not None:
            log.info("upload_check.child_ended", pid=child.pid, reason=reason)
            child.close()


def _reading(action: str, file: DatasetFile, modality: str) -> dict[str, Any]:
    options = file.options.model_dump(mode="json")
    details = {"format": file.format, "options": options, "labelled": file.labelled, "details": dict(file.details)}
    return {"action": action, "path": str(file.path), "modality": modality, "file": details}


def _invalid(detail: str) -> InvalidDataset:
    return InvalidDataset(detail, [FieldError("/file", detail)])
