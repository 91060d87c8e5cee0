"""`python -m worker worker ...`: Celery's command line with this application, whatever folder it is started in."""

import sys

from worker.celery_app import celery

celery.start(sys.argv[1:])
