"""Start several trainers for one attempt of a job: `python -m worker.distributed.launcher COMMAND... --supervisor PID`.

COMMAND starts one trainer. The trainers find one another by the environment variables of `torchrun`; see
`worker.distributed.data_parallel`. The supervisor treats this process as the trainer. SIGTERM stops all after a checkpoint. The
exit code is that of the first trainer that failed, and if one is killed all end. No trainer outlives this process, and this
process does not outlive its supervisor.
"""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.processes.parent_death import end_with
from app.schemas.trainer_messages import RESULT_FILE
from app.settings import Settings
from worker.protocol.exit_codes import ExitCode

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

MONITOR_SECONDS = 0.05


def main(arguments: Sequence[str]) -> int:
    """Run the trainers and return their common exit code."""
    *command, supervisor = arguments
    if not end_with(int(supervisor)):
        return ExitCode.ORPHANED
    return _launch([*command, str(os.getpid())], Settings(_env_file=None))


def _launch(command: Sequence[str], settings: Settings) -> int:
    """Launch the trainers; import torch here, after the parent's death is handled."""
    import torch
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable()  # the last lines of standard error must be the trainers'
    processes = settings.train_processes
    if settings.device != "cpu" and torch.cuda.is_available():
        processes = min(processes, torch.cuda.device_count())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=MONITOR_SECONDS,
        shutdown_timeout=int(settings.cancel_grace_seconds),
    )
    try:
        elastic_launch(config, command[0])(*command[1:])
    except ChildFailedError as error:
        return _exit_code_of(error)
    except SignalException:
        return ExitCode.DONE if Path(RESULT_FILE).exists() else ExitCode.STOPPED
    return ExitCode.DONE


def _exit_code_of(error: "ChildFailedError") -> int:
    """Return the exit code of the first trainer that failed, and print its message; the others failed as a consequence."""
    failures = list(error.failures.values())  # in the order in which they were seen
    for failure in failures:
        if Path(failure.error_file).exists():
            sys.stderr.write(f"{failure.message}\n")
            return failure.exitcode
    if failures[0].exitcode < 0:
        _raise_signal(-failures[0].exitcode)
    return failures[0].exitcode


def _raise_signal(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
