"""The template of trainers: a process that has loaded the libraries of all jobs and forks into a trainer for each.

`python -P -m worker.template DESCRIPTOR PARENT` reads requests from the socket with this descriptor
(`worker.supervision.trainer_template`). Loading takes seconds, forking milliseconds. The process initialises no CUDA and starts
no thread of its own before it forks.
"""

import gc
import json
import os
import runpy
import socket
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from app.processes.parent_death import end_with
from worker.protocol.exit_codes import ExitCode

PRELOADED = (
    "worker.jobs.adaptation",
    "worker.jobs.batch_prediction",
    "worker.jobs.trial",
    "torch._dynamo",  # torch loads it for the first optimizer
    "torch.export._trace",
    "torch.onnx._internal.exporter._core",
    "onnxscript.function_libs.torch_lib.ops",  # the export of the first network of a shape loads these
)
MAX_REQUEST_BYTES = 2**17
ERROR_IN_CODE = 1


def serve(channel: socket.socket) -> None:
    """Fork a trainer for each request, one after another, until the supervisor closes the channel.

    A request is a JSON object with `module`, `arguments`, `folder` and `environment`, and the descriptors of standard output and
    standard error. The answers are the trainer's process id and, when it has ended, its exit code.
    """
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, MAX_REQUEST_BYTES, 2)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            channel.close()
            _become_trainer(json.loads(request), descriptors)
        os.setpgid(pid, pid)  # before the supervisor learns of the group, which it may kill
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become_trainer(request: dict[str, object], outputs: Sequence[int]) -> NoReturn:
    """Run the requested module as the main program of this process."""
    code = ERROR_IN_CODE
    try:
        os.setpgid(0, 0)
        end_with(os.getppid())
        for descriptor, standard in zip(outputs, (1, 2), strict=True):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        _enter(request)
        runpy.run_module(str(request["module"]), run_name="__main__")
        code = ExitCode.DONE
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else ERROR_IN_CODE
    except BaseException:  # noqa: BLE001  # the process ends with what Python prints for an error in its main program
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _enter(request: dict[str, object]) -> None:
    """Take the folder, the environment and the arguments of the requested trainer."""
    folder, variables, arguments = request["folder"], request["environment"], request["arguments"]
    assert isinstance(folder, str)
    assert isinstance(variables, dict)
    assert isinstance(arguments, list)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None  # the variable TMPDIR has changed
    sys.argv = [str(request["module"]), *arguments, "--supervisor", str(os.getppid())]


def load_libraries() -> None:
    """Import the code of all jobs. What the imports leave is never garbage, so no collection visits it."""
    gc.disable()
    for name in PRELOADED:
        import_module(name)
    gc.freeze()
    gc.enable()


def main() -> None:
    """Serve requests; end with the supervisor."""
    descriptor, parent = map(int, sys.argv[1:])
    if end_with(parent):
        load_libraries()
        serve(socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main()
