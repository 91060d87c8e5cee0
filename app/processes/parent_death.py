"""End a process together with another one, however that one ends.

On Linux the kernel kills a process whose parent ended. Else, and on other systems, a thread waits.
"""

import ctypes
import os
import signal
import sys
from threading import Thread

import psutil

PR_SET_PDEATHSIG = 1


def end_with(pid: int) -> bool:
    """Have this process killed when process `pid` ends; return False if it has ended already.

    The kernel watches the *thread* that started this process: start children in threads that live as long as the process.
    """
    if sys.platform == "linux" and os.getppid() == pid:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return os.getppid() == pid
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return False
    Thread(target=_end_after, args=(process,), name="parent-death", daemon=True).start()
    return True


def _end_after(process: psutil.Process) -> None:
    process.wait()
    os.kill(os.getpid(), signal.SIGKILL)
