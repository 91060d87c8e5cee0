"""A cache of resolved model references: predictions need no query.

A change that this process commits takes effect at the next lookup. `watch` detects changes of other processes: it resolves the
cached references again and loads each new version, while the old one still serves. While the database is unreachable, cached
references stay valid.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.artifacts import Precision
from app.db.registry_revision import read_revision
from app.db.session import SessionFactory
from app.errors import ArtifactCorrupt, ModelNotFound
from app.services import models
from app.serving.version_files import VersionFiles

log = structlog.get_logger()

INTERVAL_SECONDS = 0.25
MAX_CACHED = 10_000
"""Cached references; a version has several. The cache is cleared when it is full."""


class ModelResolver:
    """The resolver of a process. `preload_replacement` loads a version before it replaces another.

    References resolve to versions in `precision`, or in float32 if a version has no such graph.
    """

    def __init__(
        self,
        sessions: Callable[[], SessionFactory],
        preload_replacement: Callable[[VersionFiles, VersionFiles], None],
        precision: Precision,
    ) -> None:
        self._sessions, self._preload_replacement, self._precision = sessions, preload_replacement, precision
        self._cached: dict[str, VersionFiles] = {}
        self._commits = 0
        self._closed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def get_cached(self, reference: str) -> VersionFiles | None:
        """Return the version from the cache, without a query."""
        return self._current().get(reference)

    def resolve(self, reference: str) -> VersionFiles:
        """Return the version from the database and cache it. Raise ModelNotFound, ArtifactCorrupt."""
        cached: dict[str, VersionFiles] | None = None
        while cached is not self._current():  # a change during the query may be missing from its result
            cached = self._current()
            files = self._query(reference)
        if len(cached) < MAX_CACHED:
            cached[reference] = files
        else:
            self._cached = {reference: files}
        return files

    def preload(self, reference: str, version: str) -> None:
        """Load the version that a cached reference is about to name, so that no request waits for it. Block."""
        old = self.get_cached(reference)
        if old is not None:
            with suppress(ModelNotFound, ArtifactCorrupt):  # the next prediction reports it
                self._load(old, self.resolve(version))

    def refresh(self) -> None:
        """Resolve all cached references again; a reference changes when its new version is loaded."""
        self._cached = cached = dict(self._current())
        for reference, old in list(cached.items()):
            try:
                files = self._query(reference)
            except (ModelNotFound, ArtifactCorrupt):  # the next prediction reports it
                cached.pop(reference, None)
                continue
            if files.version_id != old.version_id:
                self._load(old, files)
                cached[reference] = files

    def watch(self, engine: Engine) -> None:
        """Detect changes of other processes until `close`."""
        self._watching = asyncio.create_task(self._watch(engine))

    async def close(self) -> None:
        """Stop watching; wait for a running query, so that no connection outlives the engine."""
        self._closed.set()
        if self._watching is not None:
            await asyncio.wait([self._watching])

    def _current(self) -> dict[str, VersionFiles]:
        commits = self._sessions().registry_commits.count
        if self._commits != commits:
            self._commits = commits
            self._cached = {}
        return self._cached

    def _query(self, reference: str) -> VersionFiles:
        with self._sessions().for_reading() as session:
            files = VersionFiles.of(models.resolve(session, reference))
            return files.at(self._precision) if files.has(self._precision) else files

    def _load(self, old: VersionFiles, files: VersionFiles) -> None:
        try:
            self._preload_replacement(old, files)
        except ArtifactCorrupt as error:  # the next prediction reports it
            log.error("model.corrupt", model=files.model, version=files.number, error=error.message)

    async def _watch(self, engine: Engine) -> None:
        seen, unreachable = None, False
        while not self._closed.is_set():
            try:
                revision = await asyncio.to_thread(read_revision, engine)
                if seen is not None and revision != seen:
                    await asyncio.to_thread(self.refresh)
                seen, unreachable = revision, False
            except SQLAlchemyError as error:
                if not unreachable:
                    log.warning("database.unreachable", error=str(error))
                unreachable = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), INTERVAL_SECONDS)
