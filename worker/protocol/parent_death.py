"""End a process together with its parent."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def die_with_parent(supervisor: int | None) -> bool:
    """Have the kernel kill this process when its parent ends; return False if the parent is gone already."""
    if supervisor is None:
        return True
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == supervisor
