"""`python -m worker worker ...`: Celery's command line with this application, from any folder."""

import sys

from worker.celery_app import celery, configure_logging

configure_logging()  # Celery logs warnings before it sets up logging
celery.start(sys.argv[1:])
