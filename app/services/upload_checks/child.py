"""The child process: `python -m app.services.upload_checks.child MEMORY_BYTES`, with a socket as standard input.

Each line is a request, a JSON object with `action` and its arguments. Each gets one line as reply, with one of the keys `result`,
`error` (the upload is invalid), `exhausted` (more memory than allowed) and `failure` (a defect of this program). `is_last` asks
the server to use another child for the next request.
"""

import json
import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from app.errors import InvalidDataset, InvalidRequest
from app.formats import checkpoint_archives
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile
from app.schemas.datasets import DatasetCreate
from app.services.format_detection import detect_format

OOM_SCORE = 800
PARENT_SECONDS = 1.0
RETIREMENT_BYTES = 400 * 1024**2
"""A child that keeps more memory than this is not used again: libraries do not always return what they free."""


def main(memory_bytes: int) -> None:
    """Answer requests until the server closes the socket."""
    _confine(memory_bytes)
    with _private_socket() as connection, connection.makefile("rwb") as stream:
        for line in stream:
            reply = answer(json.loads(line))
            reply["is_last"] = _resident_bytes() > RETIREMENT_BYTES
            stream.write(json.dumps(reply).encode() + b"\n")
            stream.flush()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run one action and return the reply."""
    try:
        return {"result": _ACTIONS[request.pop("action")](**request)}
    except (InvalidRequest, InvalidDataset) as error:
        errors = [[field.pointer, field.detail] for field in error.errors]
        return {"error": {"type": type(error).__name__, "message": error.message, "errors": errors}}
    except MemoryError:
        return {"exhausted": True}
    except Exception:  # noqa: BLE001  # the server logs it; the next upload must not suffer
        return {"failure": traceback.format_exc()}


def _detect(path: str, filename: str, form: Mapping[str, Any]) -> dict[str, Any]:
    detected = detect_format(Path(path), filename, DatasetCreate.model_validate(form))
    options = detected.options.model_dump(mode="json")
    return {"modality": detected.modality.name, "format": detected.format, "options": options}


def _check(path: str, modality: str, format: str, options: Mapping[str, Any]) -> dict[str, Any]:
    reader = MODALITIES[modality]
    profile = reader.check(Path(path), format, reader.options.model_validate(options))
    return {"rows": profile.rows, "classes": profile.classes, "details": profile.details}


def _check_encoder(path: str) -> str:
    return checkpoint_archives.check(Path(path))


def _preview(path: str, modality: str, rows: list[int], file: Mapping[str, Any]) -> list[dict[str, Any]]:
    return MODALITIES[modality].preview(_dataset_file(path, modality, file), rows)


def _example(path: str, modality: str, row: int, file: Mapping[str, Any]) -> list[dict[str, Any]]:
    return MODALITIES[modality].example(_dataset_file(path, modality, file), row)


def _dataset_file(path: str, modality: str, file: Mapping[str, Any]) -> DatasetFile:
    options = MODALITIES[modality].options.model_validate(file["options"])
    return DatasetFile(Path(path), file["format"], options, file["labelled"], file["details"])


_ACTIONS: Mapping[str, Callable[..., Any]] = {
    "detect": _detect,
    "check": _check,
    "check_encoder": _check_encoder,
    "preview": _preview,
    "example": _example,
}


def _confine(memory_bytes: int) -> None:
    """Limit the memory, end with the server, and offer this process to the kernel first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # only Linux has this file
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process soon after the server, also in the middle of a check.

    The kernel's signal for this (`PR_SET_PDEATHSIG`) would come when the thread that started the child ends.
    """
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(0)


def _resident_bytes() -> int:
    """Return the memory of this process; 0 where it is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _private_socket() -> socket.socket:
    """Take the socket from standard input, so that no library reads from it."""
    connection = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as empty:
        os.dup2(empty.fileno(), 0)
    return connection


if __name__ == "__main__":
    main(int(sys.argv[1]))
