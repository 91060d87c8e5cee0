"""The entry of the trainer process: `python -m worker.trainer JOB_ID ATTEMPT`, in a run folder, all settings in the environment.

It runs one attempt of a job of any kind (`worker.jobs`). It reads the database and writes only to the storage, to its run folder
and, as `Report` lines, to standard output; a search also writes its trials (`app.services.trials`). SIGTERM requests an end after
a checkpoint. The trainer never outlives its supervisor. This module imports no torch; adaptations do.

Several processes may train one job under `worker.distributed.launcher`. Rank 0 does all of the above. The other ranks only train,
report nothing and have folders of their own.
"""

import argparse
import faulthandler
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO
from uuid import UUID

from sqlalchemy.orm import Session, joinedload, sessionmaker

from app.db.outages import OUTAGE_ERRORS
from app.db.session import SessionFactory, make_engine
from app.db.tables import JobRow
from app.errors import (
    ArtifactCorrupt,
    IncompatibleDatasets,
    InsufficientStorage,
    InvalidDataset,
    InvalidRequest,
    ServiceError,
    StorageUnavailable,
)
from app.job_types.base import JobResult
from app.processes.parent_death import end_with
from app.schemas.trainer_messages import RESULT_FILE
from app.settings import Settings
from app.storage.disk_space import is_disk_full
from worker.data.attempt_context import AttemptContext
from worker.protocol.exit_codes import ExitCode
from worker.protocol.memory import limit_memory, memory_error_code
from worker.protocol.progress import BadData, BadParameters, ProgressReporter, StopRequested

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable of the file in which a process of `torchrun` reports its error."""
UNAVAILABLE_ERRORS = (*OUTAGE_ERRORS, StorageUnavailable, InsufficientStorage, ConnectionError, TimeoutError)
"""The exceptions of a database or a storage that is unreachable or full at the moment."""

JobFunction = Callable[[AttemptContext], JobResult | None]


def run_process(runs: Mapping[str, JobFunction] | None = None) -> NoReturn:
    """Run one attempt by the command line of this process, then end the process at once.

    Everything is stored and reported then. Python would take more than a second to free the libraries of a training.
    """
    leave(main(runs=runs))


def leave(code: int) -> NoReturn:
    """End this process with the code, without freeing its memory piece by piece."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None, runs: Mapping[str, JobFunction] | None = None) -> int:
    """Run one attempt and return the exit code. `runs` replace the code of some kinds of jobs in tests."""
    options = _options(arguments)
    if options.supervisor is not None and not end_with(options.supervisor):
        return ExitCode.ORPHANED
    faulthandler.enable()
    rank = own_rank()
    reporter = ProgressReporter(_private_stdout(rank == 0))
    signal.signal(signal.SIGTERM, lambda *_: reporter.request_stop())
    settings = Settings(_env_file=None)
    limit_memory(settings.train_memory_bytes)
    try:
        with _database(settings.database) as sessions:
            job = _load(sessions, options.job_id)
            if job is None or job.attempt != options.attempt:
                return ExitCode.ORPHANED
            storage = settings.open_storage()
            context = AttemptContext(job, settings, storage, sessions, _scratch_folder(rank), reporter)
            return _run((runs or {}).get(job.kind) or _code_of(job.kind), context)
    except UNAVAILABLE_ERRORS as error:
        return _refused(ExitCode.UNAVAILABLE, error)


def _run(run: JobFunction, context: AttemptContext) -> int:
    try:
        result = run(context)
    except StopRequested:
        return ExitCode.STOPPED
    except (BadParameters, InvalidRequest, ArtifactCorrupt) as error:
        return _refused(ExitCode.BAD_PARAMETERS, error)
    except (BadData, InvalidDataset, IncompatibleDatasets) as error:
        return _refused(ExitCode.BAD_DATA, error)
    except OSError as error:
        if not is_disk_full(error):
            raise
        return _refused(ExitCode.UNAVAILABLE, error)
    except (RuntimeError, MemoryError) as error:
        code = memory_error_code(error)
        if code is None:
            raise
        return _refused(code, error)
    context.reporter.flush()
    if result is not None:
        (context.folder / RESULT_FILE).write_text(result.model_dump_json())
    return ExitCode.DONE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("worker.trainer", description="Run one attempt of one job.")
    parser.add_argument("job_id", type=UUID)
    parser.add_argument("attempt", type=int)
    parser.add_argument("--supervisor", type=int, help="Process id of the supervisor: the trainer dies with it.")
    return parser.parse_args(arguments)


def own_rank() -> int:
    """Return the rank of this process among those that `torchrun` started for the job; 0 for a single process."""
    return int(os.environ["RANK"]) if ERROR_FILE in os.environ else 0


def _private_stdout(speaks: bool) -> TextIO:
    """Reserve standard output for reports (or discard them) and redirect other output to standard error."""
    reports = os.dup(sys.stdout.fileno()) if speaks else os.open(os.devnull, os.O_WRONLY)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(reports, "w", encoding="utf-8")


@contextmanager
def _database(url: str) -> Iterator[sessionmaker[Session]]:
    """Open the one engine of this process for the block."""
    engine = make_engine(url)
    try:
        yield SessionFactory(engine)
    finally:
        engine.dispose()


def _load(sessions: sessionmaker[Session], job_id: UUID) -> JobRow | None:
    """Return the job with its parent, detached, all columns loaded."""
    with sessions() as session:
        return session.get(JobRow, job_id, options=[joinedload(JobRow.parent)])


def _scratch_folder(rank: int) -> Path:
    """Return the folder of this process, which disappears with the attempt."""
    folder = Path.cwd() / (f"rank-{rank}" if rank else "")
    folder.mkdir(exist_ok=True)
    return folder


def _code_of(kind: str) -> JobFunction:
    """Import the code of a kind of job. Torch takes seconds to load, so the signal handler must be installed before.

    What the imports leave is never garbage: no collection visits it, now or later.
    """
    gc.disable()
    run: JobFunction = import_module(f"worker.jobs.{kind}").run
    gc.freeze()
    gc.enable()
    return run


def _refused(code: ExitCode, error: Exception) -> ExitCode:
    """Write the message for the user as the last line of standard error, and its cause for the log before it."""
    details = [f"{field.pointer}: {field.detail}" for field in error.errors] if isinstance(error, ServiceError) else []
    text = " ".join(" ".join([str(error) or "The process has no memory left.", *details]).split())
    if error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    sys.stderr.write(f"{text}\n")
    if ERROR_FILE in os.environ:
        Path(os.environ[ERROR_FILE]).write_text(json.dumps({"message": text}))
    return code


if __name__ == "__main__":
    run_process()
