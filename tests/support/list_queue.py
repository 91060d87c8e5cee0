"""A job queue in memory."""

from uuid import UUID


class ListQueue:
    """A JobQueue that remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[UUID] = []

    def send(self, job_id: UUID) -> None:
        self.sent.append(job_id)

    def depth(self) -> int:
        return len(self.sent)

    def check(self) -> None:
        """A list is always there."""
