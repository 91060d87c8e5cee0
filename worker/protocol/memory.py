"""The memory of a trainer: a limit, its rank when the machine has none left, and the errors of allocations. Torch-free."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

from worker.protocol.exit_codes import ExitCode

OOM_SCORE = 500
"""The kernel ends trainers before the server and the databases of the machine."""


def limit_memory(train_memory_bytes: int) -> None:
    """Limit the data of this process, unless the limit is 0, and offer the process to the kernel first.

    The limit is that of data and not of addresses: CUDA reserves far more addresses than it uses.
    """
    with suppress(OSError):  # only Linux has this file
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    if train_memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (train_memory_bytes, train_memory_bytes))


def memory_error_code(error: Exception) -> ExitCode | None:
    """Return the exit code of a failed allocation, None for other errors."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # the latter is torch's allocator for CPUs
        return ExitCode.OUT_OF_MEMORY
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(error, torch.OutOfMemoryError) or (isinstance(error, torch.AcceleratorError) and "out of memory" in str(error)):
        return ExitCode.GPU_OUT_OF_MEMORY
    return None
