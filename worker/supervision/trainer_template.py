"""Trainers that are forked from a process with all libraries loaded (`worker.template`), for workers without a GPU.

A process that has used CUDA cannot be forked, so workers with a GPU start a new process for each job.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from app.settings import Settings

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of NVIDIA's and AMD's drivers, and of GPUs under WSL."""
MAX_ANSWER_BYTES = 32


class TrainerTemplate:
    """The template process of one worker. It starts with this object, in the calling thread, and starts again after a failure."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> "ForkedTrainer":
        """Request a trainer. It starts when the template has loaded its libraries.

        Call this in the thread that made the template, and when the trainer before has ended.
        """
        if self._process.poll() is not None:
            self._channel.close()
            self._start()
        request = {"module": module, "arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        (stdout, out), (stderr, err) = os.pipe(), os.pipe()
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the template has just ended; so has the trainer
                socket.send_fds(self._channel, [json.dumps(request).encode()], [out, err])
        finally:
            os.close(out)
            os.close(err)
        return ForkedTrainer(self._channel, self._process, os.fdopen(stdout, "rb"), os.fdopen(stderr, "rb"))

    def close(self) -> None:
        """End the template."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "worker.template", str(theirs.fileno()), str(os.getpid())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )


class ForkedTrainer:
    """A trainer that the template forked, with the methods of `subprocess.Popen` that `TrainerProcess` uses."""

    def __init__(self, channel: socket.socket, template: subprocess.Popen[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.pid: int | None = None
        """Process id; None until the template has forked."""
        self._channel = channel
        self._template = template
        self._code: int | None = None
        self._asked_to_stop = False

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the trainer runs or waits for its template."""
        self._read_answers(0.0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; raise TimeoutExpired after `timeout` seconds."""
        if self._code is None:
            self._read_answers(timeout)
        if self._code is None:
            raise subprocess.TimeoutExpired("worker.template", timeout or 0.0)
        return self._code

    def terminate(self) -> None:
        """Ask the trainer to stop. One that has not started yet never does."""
        self._read_answers(0.0)
        self._asked_to_stop = True
        if self.pid is None:
            self._template.kill()
        elif self._code is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill_group(self) -> None:
        """End the trainer and everything it started."""
        self._read_answers(0.0)
        if self.pid is None:
            if self._code is None:
                self._template.kill()
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _read_answers(self, timeout: float | None) -> None:
        """Read the process id and the exit code. The end of the template is the end of the trainer by a signal."""
        while self._code is None:
            self._channel.settimeout(timeout)
            try:
                answer = self._channel.recv(MAX_ANSWER_BYTES)
            except (TimeoutError, BlockingIOError):
                return
            except ConnectionResetError:
                answer = b""
            if not answer:
                self._code = -(signal.SIGTERM if self._asked_to_stop and self.pid is None else signal.SIGKILL)
            elif self.pid is None:
                self.pid = int(answer)
            else:
                self._code = int(answer)


def may_fork_trainers(settings: Settings) -> bool:
    """Return whether this worker may fork its trainers: on Linux, one process for each job, no GPU."""
    uses_gpu = settings.device != "cpu" and any(Path(file).exists() for file in GPU_FILES)
    return settings.preload and sys.platform == "linux" and settings.train_processes == 1 and not uses_gpu
