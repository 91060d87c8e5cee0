"""`python -m worker worker ...`: Celery's command line with this application, whatever folder it is started in."""

from worker.celery_app import celery

celery.start()
