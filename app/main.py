"""create_app(): wiring only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from app.api import (
    batch_predictions,
    catalog,
    datasets,
    health,
    job_events,
    jobs,
    mlflow,
    models,
    open_inference,
    openapi,
    predict,
    problem_details,
)
from app.api.middleware import BodySizeLimit, RequestContext
from app.broker.queue import CeleryQueue, JobQueue, make_celery
from app.db.session import make_engine, make_sessions
from app.fast_path.asgi import FastPath, IsthmusApp
from app.observability.health import Dependencies
from app.observability.metrics import BUILD
from app.services.job_watcher import JobWatcher
from app.services.multipart_uploads import remove_stale
from app.serving.model_cache import ModelCache
from app.serving.model_loader import ModelLoader
from app.serving.model_resolver import ModelResolver
from app.serving.predictor import Predictor, ServingPolicy
from app.settings import Settings
from app.storage import Storage

VERSION = version("isthmus")
SUMMARY = "Self-hosted model adaptation: labelled source data in, a model that works on your unlabelled target data out."


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    remove_stale(app.state.settings.scratch_dir)
    app.state.predictor.references.watch(app.state.engine)
    yield
    await app.state.predictor.close()
    await app.state.watcher.close()
    app.state.parts.close()
    app.state.engine.dispose()


def create_app(settings: Settings | None = None, queue: JobQueue | None = None) -> FastAPI:
    """The HTTP server. `queue` is the Celery broker of the settings unless a test brings its own."""
    settings = settings or Settings()
    app = IsthmusApp(title="Isthmus", version=VERSION, summary=SUMMARY, lifespan=_lifespan)
    app.state.settings = settings
    app.state.engine = make_engine(settings.database)
    app.state.sessions = make_sessions(app.state.engine)
    app.state.watcher = JobWatcher(lambda: app.state.sessions)
    app.state.storage = Storage(settings.storage)
    app.state.predictor = predictor = _predictor(app, settings)
    app.hot = FastPath(app.through_fastapi, predictor, settings.max_predict_bytes, settings.max_predict_inputs)
    app.state.queue = queue or CeleryQueue(make_celery(settings))
    app.state.parts = Dependencies.of(app.state.engine, app.state.queue, app.state.storage)
    BUILD.info({"version": VERSION})
    app.add_middleware(BodySizeLimit)
    app.add_middleware(RequestContext)  # the outermost
    problem_details.install(app)
    openapi.install(app)
    for routes in (datasets, catalog, jobs, job_events, models, predict, batch_predictions, open_inference, mlflow, health):
        app.include_router(routes.router)
    return app


def _predictor(app: FastAPI, settings: Settings) -> Predictor:
    loader = ModelLoader(app.state.storage, settings.predict_threads, settings.predict_device)
    engine = ModelCache(loader, settings.predict_cache_bytes)
    references = ModelResolver(lambda: app.state.sessions, engine.preload_replacement, settings.predict_precision)
    return Predictor(references, engine, ServingPolicy.of(settings))
