"""Celery beat that runs the sweep itself.

Context: beat sends tasks, workers run them. While all workers train, for hours, or all are dead, nobody would run the sweep
that finds dead workers, and its messages would pile up. Decision: the sweep, two short queries, runs in beat's own process; no
message, no schedule file, and it works without the broker. Consequence: beat needs the database. Alternatives: a worker of its
own for the sweep (one more process), sweeping in each busy supervisor (nothing is reaped when all are dead).
"""

from typing import Any

from celery.beat import ScheduleEntry, Scheduler


class SweepScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type hints
    """A scheduler, in memory, that calls its tasks instead of sending them."""

    producer = None  # the base connects to the broker, for as long as it takes

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Run a due task here and now; Celery logs what it raises."""
        self.app.tasks[entry.task].apply()
