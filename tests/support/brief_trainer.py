"""The real trainer with few evaluations, for tests whose subject is not the report."""

import atexit
import os
from collections.abc import Callable
from functools import cache

from sqlalchemy.orm import Session, sessionmaker

from app.job_types.adaptation import ADAPTATION, AdaptationResult
from app.settings import Settings
from tests.support.distributed_trainer import brief_evaluations
from tests.support.list_queue import ListQueue
from worker import trainer
from worker.data.attempt_context import AttemptContext
from worker.supervision.supervisor import Supervisor
from worker.supervision.trainer_template import TrainerTemplate

BRIEF_TRAINER = "tests.support.brief_trainer"


def brief_supervisor(
    settings: Settings, sessions: sessionmaker[Session], draining: Callable[[], bool] = lambda: False
) -> Supervisor:
    return Supervisor(settings, sessions, ListQueue(), draining, BRIEF_TRAINER, shared_template())


@cache
def shared_template() -> TrainerTemplate:
    """Return the template of all trainers of this test process. Call it in the main thread."""
    template = TrainerTemplate(os.environ)
    atexit.register(template.close)
    return template


def adapt(context: AttemptContext) -> AdaptationResult | None:
    from worker.jobs import adaptation

    with brief_evaluations():
        return adaptation.run(context)


if __name__ == "__main__":
    trainer.run_process(runs={ADAPTATION.name: adapt})
