"""The errors behind the exit of a trainer: stable error codes with a message for the job's owner."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from app.job_types.base import JobType
from worker.protocol.exit_codes import ExitCode

log = structlog.get_logger()

CODE_OF_EXIT = {  # the trainer's last line is the message for the user
    ExitCode.BAD_PARAMETERS: "bad_parameters",
    ExitCode.BAD_DATA: "bad_data",
    ExitCode.GPU_OUT_OF_MEMORY: "gpu_out_of_memory",
    ExitCode.OUT_OF_MEMORY: "out_of_memory",
}
SEE_LOG = "The log of the worker has the details under the id of this job."


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a job failed."""

    code: str
    message: str


def classify_exit(exit_code: int, lines: Sequence[str], job_type: JobType[Any]) -> Failure:
    """Return the failure behind an exit code and the last lines of standard error; none of these is retried."""
    process = job_type.process
    if exit_code in CODE_OF_EXIT:
        return Failure(
            CODE_OF_EXIT[ExitCode(exit_code)], lines[-1] if lines else f"The {process} gave no reason. See the log of the worker."
        )
    if exit_code == -signal.SIGKILL:
        how = f"The {process} was killed, possibly because the machine ran out of memory."
        return Failure(f"{process}_killed", f"{how} {job_type.memory_advice}")
    how = f"The {process} ended with exit code {exit_code}."
    if exit_code < 0:
        how = f"The {process} was ended by {_signal_name(-exit_code)}."
    return Failure(f"{process}_error", f"{how} {SEE_LOG}")


def timeout_of(seconds: float) -> Failure:
    return Failure(
        "job_timeout", f"The attempt exceeded the limit of {seconds:g} seconds. Reduce the work of the job or raise the limit."
    )


def no_result(reason: str, job_type: JobType[Any]) -> Failure:
    process = job_type.process
    log.warning("trainer.unreadable_result", error=reason)
    return Failure(f"{process}_error", f"The {process} ended without a readable result. {SEE_LOG}")


def _signal_name(number: int) -> str:
    names = {member.value: member.name for member in signal.Signals}
    return names.get(number, f"signal {number}")
