"""End a process together with another one, however that one ends.

On Linux the kernel kills a process whose parent ended. Else, and on other systems, a thread waits.
"""

import ctypes
import os
import select
import signal
import sys
import time
from threading import Thread

import psutil

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 1.0


def end_with(pid: int) -> bool:
    """Have this process killed when process `pid` ends; return False if it has ended already.

    The kernel watches the *thread* that started this process: start children in threads that live as long as the process.
    """
    if sys.platform == "linux" and os.getppid() == pid:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return os.getppid() == pid
    if not _is_alive(pid):
        return False
    Thread(target=_end_after, args=(pid,), name="parent-death", daemon=True).start()
    return True


def _end_after(pid: int) -> None:
    try:
        _wait_by_descriptor(pid)
    except (AttributeError, OSError):  # the system has no descriptors of processes, or forbids them
        while _is_alive(pid):
            time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_by_descriptor(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
