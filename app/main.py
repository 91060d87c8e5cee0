"""Wiring of the HTTP server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from pkgutil import iter_modules

from fastapi import APIRouter, FastAPI

from app import api
from app.api import docs_page, openapi, problem_details, web_ui
from app.api.application import IsthmusApp
from app.api.large_bodies import LargeBodies
from app.api.middleware import BodySizeLimit, RequestContext
from app.api.origin_policy import OriginPolicy
from app.auth.caller_limits import LimitsPerKey
from app.auth.grants import Grants
from app.auth.modes import needs_keys
from app.auth.refusals import Refusals
from app.broker.queue import CeleryQueue, JobQueue, make_celery
from app.db.request_database import RequestDatabase
from app.db.revision_watcher import RevisionWatcher
from app.db.session import SessionFactory, make_engine
from app.fast_path.asgi import FastPath
from app.http_server.connection_guard import ConnectionGuard
from app.observability.health import Dependencies
from app.observability.metrics import BUILD
from app.services.job_watcher import JobWatcher
from app.services.multipart_uploads import remove_stale
from app.services.upload_checks.pool import CheckPool
from app.serving.model_cache import ModelCache
from app.serving.model_loader import ModelLoader
from app.serving.model_resolver import ModelResolver
from app.serving.predictor import Predictor, ServingPolicy
from app.settings import Settings

VERSION = version("isthmus")
REQUEST_SLOTS = 10
"""Requests that use the database at the same time. The other users of the connection pool need about ten more."""
MAX_WAITING_REQUESTS = 2000
"""Requests that wait for the database. The time of the last one in line is a few seconds; the next one gets 503 at once."""
SUMMARY = "Self-hosted model adaptation: labelled source data in, a model that works on your unlabelled target data out."


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    remove_stale(app.state.settings.scratch_dir)
    watchers = _watch(app)
    yield
    app.state.checks.close()
    for watcher in watchers:
        await watcher.close()
    app.state.grants.close()
    await app.state.predictor.close()
    await app.state.watcher.close()
    app.state.dependencies.close()
    app.state.engine.dispose()


def _watch(app: FastAPI) -> list[RevisionWatcher]:
    """Follow the changes that other processes make to keys and models. Loading a model delays no revocation."""
    state = app.state
    return [
        RevisionWatcher(state.engine, state.grants.refresh, state.grants.tick),
        RevisionWatcher(state.engine, state.predictor.resolver.refresh),
    ]


def create_app(settings: Settings | None = None, queue: JobQueue | None = None, host: str = "127.0.0.1") -> FastAPI:
    """Build the HTTP server. Jobs go to `queue`, by default to the Celery broker of the settings.

    Whether callers need keys depends on `host`, the name or address on which it will listen.
    """
    settings = settings or Settings()
    policy = OriginPolicy(settings.hosts, settings.origins, host)
    app = IsthmusApp(
        policy,
        title="Isthmus",
        version=VERSION,
        summary=SUMMARY,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.connections = ConnectionGuard(settings.max_connections, settings.max_connections_per_address)
    _create_services(app, settings, queue)
    app.state.grants = Grants(lambda: app.state.sessions, needs_keys(settings, host), LimitsPerKey.of(settings))
    app.state.large_bodies = LargeBodies()
    app.state.refusals = Refusals(lambda: app.state.sessions)
    app.add_middleware(BodySizeLimit)
    app.add_middleware(RequestContext)  # the outermost
    problem_details.install(app)
    openapi.install(app)
    docs_page.install(app)
    web_ui.install(app)
    for router in _routers():
        app.include_router(router)
    if settings.fast_path == "on":
        limits = settings.max_predict_bytes, settings.max_predict_inputs
        app.front = FastPath(app.call_fastapi, app.state.predictor, app.state.grants, *limits)
    BUILD.info({"version": VERSION})
    return app


def _routers() -> Iterator[APIRouter]:
    """Yield the `router` of every module in `app.api` that has one: new routes are a new file."""
    for module in iter_modules(api.__path__):
        router = getattr(import_module(f"{api.__name__}.{module.name}"), "router", None)
        if router is not None:
            yield router


def _create_services(app: FastAPI, settings: Settings, queue: JobQueue | None) -> None:
    """Create the objects that the routes find in `app.state`."""
    state = app.state
    state.settings = settings
    state.engine = make_engine(settings.database)
    state.sessions = SessionFactory(state.engine)
    state.database = RequestDatabase(lambda: state.sessions, REQUEST_SLOTS, MAX_WAITING_REQUESTS)
    state.watcher = JobWatcher(lambda: state.sessions)
    state.storage = settings.open_storage(copies=settings.scratch_dir)
    state.checks = CheckPool.of(settings)
    state.predictor = _create_predictor(app, settings)
    state.queue = queue or CeleryQueue(make_celery(settings))
    state.dependencies = Dependencies.of(state.engine, state.queue, state.storage)


def _create_predictor(app: FastAPI, settings: Settings) -> Predictor:
    loader = ModelLoader(app.state.storage, settings.predict_threads, settings.predict_device)
    cache = ModelCache(loader, settings.predict_cache_bytes)
    resolver = ModelResolver(lambda: app.state.sessions, cache.preload_replacement, settings.predict_precision)
    return Predictor(resolver, cache, ServingPolicy.of(settings))
