"""`python -m tests.support.celery_worker worker ...`: the real Celery worker, except that its trainers are light.

With TESTS_REAL_TRAINER set, they are real (see `tests.support.distributed_trainer`). With TESTS_UNFENCED set, the lease is
dropped
from every WHERE clause: the negative control of the chaos tests.
"""

import os
import sys

from app.db.tables import JobRow
from app.services import leases
from tests.support.distributed_trainer import SHARING_TRAINER
from tests.support.fake_trainer import LIGHT_TRAINER
from worker.supervision import supervisor

if os.environ.get("TESTS_REAL_TRAINER"):
    supervisor.TRAINER = SHARING_TRAINER
else:
    supervisor.TRAINER = LIGHT_TRAINER
if os.environ.get("TESTS_UNFENCED"):
    leases._held_by = lambda lease: (JobRow.id == lease.job_id,)

from worker.celery_app import celery  # the tasks read TRAINER when they are imported

celery.start(sys.argv[1:])
