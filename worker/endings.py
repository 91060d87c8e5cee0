"""What an exit of a trainer means to the job's owner: stable error codes with a message (JOBS: exit codes)."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from worker.exit_codes import ExitCode

SAID_LAST = {  # the trainer's last line is the message for the user
    ExitCode.BAD_PARAMETERS: "bad_parameters",
    ExitCode.BAD_DATA: "bad_data",
    ExitCode.GPU_OUT_OF_MEMORY: "gpu_out_of_memory",
}


LESS_MEMORY = (
    "Ask for less of it: a smaller batch, smaller pictures, shorter texts or a narrower network; "
    "or let this machine run fewer jobs at once."
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed."""

    code: str
    message: str


def failure_of(exit_code: int, lines: Sequence[str]) -> Failure:
    """The failure behind an exit code and the last lines of standard error. None of these is tried again."""
    if exit_code in SAID_LAST:
        return Failure(SAID_LAST[ExitCode(exit_code)], lines[-1] if lines else "The trainer gave no reason.")
    if exit_code == -signal.SIGKILL:
        return Failure("trainer_killed", f"The trainer was killed; the machine may have run out of memory. {LESS_MEMORY}")
    how = f"The trainer ended with exit code {exit_code}."
    if exit_code < 0:
        how = f"The trainer was ended by {_signal_name(-exit_code)}."
    return Failure("trainer_error", "\n".join([how, *lines]))


def timeout_of(seconds: float) -> Failure:
    return Failure("job_timeout", f"The attempt ran for longer than {seconds:g} seconds.")


def no_result(reason: str) -> Failure:
    return Failure("trainer_error", f"The trainer ended without a result that can be read: {reason}")


def _signal_name(number: int) -> str:
    names = {member.value: member.name for member in signal.Signals}
    return names.get(number, f"signal {number}")
