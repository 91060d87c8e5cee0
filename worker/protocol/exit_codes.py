"""The exit codes of a trainer, which the supervisor maps to error codes."""

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    BAD_PARAMETERS = 64
    BAD_DATA = 65
    UNAVAILABLE = 69
    ORPHANED = 70
    GPU_OUT_OF_MEMORY = 71
    OUT_OF_MEMORY = 72
    STOPPED = 75
