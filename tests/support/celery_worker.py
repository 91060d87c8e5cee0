"""`python -m tests.support.celery_worker worker ...`: the real Celery worker with fake trainers.

TESTS_REAL_TRAINER selects real trainers (see `tests.support.distributed_trainer`). TESTS_UNFENCED removes the lease from every
WHERE clause: the negative control of the chaos tests.
"""

import os
import sys

from app.db.tables import JobRow
from app.services import leases
from tests.support.distributed_trainer import SHARING_TRAINER
from tests.support.fake_trainer import FAKE_TRAINER
from worker.supervision import supervisor

if os.environ.get("TESTS_REAL_TRAINER"):
    supervisor.TRAINER = SHARING_TRAINER
else:
    supervisor.TRAINER = FAKE_TRAINER
if os.environ.get("TESTS_UNFENCED"):
    leases._is_held_by = lambda lease: (JobRow.id == lease.job_id,)  # noqa: SLF001  # the negative control removes the fence

from worker.celery_app import celery  # after TRAINER is set: the tasks read it on import

celery.start(sys.argv[1:])
