"""The real trainer, with a search that waits until another worker trains one of its queued trials.

The set of shared trials then does not depend on the start-up time of processes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import JobRow
from app.job_types.adaptation import ADAPTATION, AdaptationResult
from app.job_types.trial import TRIAL, TrialResult
from tests.support.polling import wait_until
from worker import trainer
from worker.data.attempt_context import AttemptContext

SHARING_TRAINER = "tests.support.distributed_trainer"


@contextmanager
def brief_evaluations(*, bfloat16_is_faster: bool = False) -> Iterator[None]:
    """Evaluate rarely inside the block, and give the result of the bfloat16 measurement.

    Validators would take most of a small job's time.
    """
    with (
        patch("worker.training.loop.EVALUATIONS_PER_RUN", 4),
        patch("worker.training.mixed_precision.is_faster", lambda: bfloat16_is_faster),
    ):
        yield


def trial(context: AttemptContext) -> TrialResult | None:
    """Run a trial whose own bfloat16 measurement contradicts the search's, which must decide."""
    from worker.jobs import trial as child

    with brief_evaluations(bfloat16_is_faster=True):
        return child.run(context)


def adapt(context: AttemptContext) -> AdaptationResult | None:
    """Run an adaptation that waits for another worker after its first trials are queued."""
    from worker.jobs import adaptation
    from worker.search.remote_trials import PlannedTrial, QueuedTrials
    from worker.training.trials import Weights

    enqueue = QueuedTrials.enqueue

    def is_shared(session: Session) -> bool:
        trained = select(JobRow.id).where(JobRow.parent_id == context.job.id, JobRow.first_progress.is_not(None))
        return session.scalar(trained.limit(1)) is not None

    def enqueue_and_wait(self: QueuedTrials, planned: Sequence[PlannedTrial], start: Weights | None) -> None:
        enqueue(self, planned, start)
        wait_until(lambda: self._transaction(is_shared), 100, "another worker that trains a trial")

    with brief_evaluations(), patch.object(QueuedTrials, "enqueue", enqueue_and_wait):
        return adaptation.run(context)


if __name__ == "__main__":
    trainer.run_process(runs={ADAPTATION.name: adapt, TRIAL.name: trial})
