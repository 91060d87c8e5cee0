"""Failures of commands and their exit codes."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_NOT_ALLOWED = 4
EXIT_NOT_FOUND = 5
EXIT_JOB_FAILED = 6

EXIT_CODES = {
    0: "success",
    EXIT_FAILED: "the command failed",
    EXIT_USAGE: "an option or argument is wrong",
    EXIT_UNREACHABLE: "the service cannot be reached",
    EXIT_NOT_ALLOWED: "the API key is missing or does not allow this",
    EXIT_NOT_FOUND: "there is no such object",
    EXIT_JOB_FAILED: "the job failed or was cancelled",
}


class CommandError(Exception):
    """A failure with a message for the user, without a traceback."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        self.exit_code = exit_code
        super().__init__(message)
