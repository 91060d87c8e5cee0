"""Celery beat that runs the sweep and the retention itself.

Context: beat sends tasks and workers run them. While all workers train for hours, or all are dead, no worker would run the sweep
that finds dead workers, and its messages would accumulate. Decision: the sweep, two short queries, runs in beat's own process.
It needs no message and no schedule file, and it works without the broker. Consequence: beat needs the database. Alternatives: a
separate worker for the sweep (one more process); a sweep in each busy supervisor (nothing is recovered when all are dead).
"""

from typing import Any

from celery.beat import ScheduleEntry, Scheduler


class SweepScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type hints
    """An in-memory scheduler that calls its tasks instead of sending them."""

    producer = None  # the base connects to the broker, for as long as it takes

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Run a due task in this process; Celery logs its errors."""
        self.app.tasks[entry.task].apply()
