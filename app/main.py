"""create_app(): wiring only."""

from fastapi import FastAPI

from app.api import algorithms, datasets, events, health, jobs, models, predict, problems
from app.db.session import make_engine, make_sessions
from app.queue import CeleryQueue, JobQueue, make_celery
from app.settings import Settings
from app.storage import Storage


def create_app(settings: Settings | None = None, queue: JobQueue | None = None) -> FastAPI:
    """The HTTP server. `queue` is the Celery broker of the settings unless a test brings its own."""
    settings = settings or Settings()
    app = FastAPI(title="Isthmus", version="0.1.0")
    app.state.settings = settings
    app.state.engine = make_engine(settings.database)
    app.state.sessions = make_sessions(app.state.engine)
    app.state.storage = Storage(settings.storage)
    app.state.queue = queue or CeleryQueue(make_celery(settings))
    problems.install(app)
    for routes in (datasets, algorithms, jobs, events, models, predict, health):
        app.include_router(routes.router)
    return app
