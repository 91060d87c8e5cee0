"""The memory of a trainer: a limit, and its rank when the machine has none left."""

import resource
from contextlib import suppress
from pathlib import Path

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
