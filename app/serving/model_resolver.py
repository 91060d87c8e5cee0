"""What model references mean, kept in memory: predictions do not ask the database.

A change that this process commits counts from the next lookup on. Changes of other processes are noticed by `watch`, which
looks up again what it knows and has each new version loaded before it counts: the old one answers meanwhile. While the
database is away, what is known stays valid.
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
"""References, of which a version has several. Beyond it all are looked up again."""


class ModelResolver:
    """One for a process. `sessions` is asked for at each query, `replace` loads what takes the place of an old version.

    References mean versions in `precision`, and in float32 where a version has no such graph.
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
        """At once, without the database."""
        return self._current().get(reference)

    def resolve(self, reference: str) -> VersionFiles:
        """From the database. Raises ModelNotFound."""
        known: dict[str, VersionFiles] | None = None
        while known is not self._current():  # what changed during the query may not be in its answer
            known = self._current()
            files = self._query(reference)
        if len(known) < MAX_CACHED:
            known[reference] = files
        else:
            self._cached = {reference: files}
        return files

    def preload(self, reference: str, version: str) -> None:
        """Load what a reference that is asked for here is about to mean, so that nobody waits when it does. Blocks."""
        old = self.get_cached(reference)
        if old is not None:
            with suppress(ModelNotFound, ArtifactCorrupt):  # the next prediction reports it
                self._load(old, self.resolve(version))

    def refresh(self) -> None:
        """Look up again what is known; a reference changes its meaning when the new version is loaded."""
        self._cached = known = dict(self._current())
        for reference, old in list(known.items()):
            try:
                files = self._query(reference)
            except (ModelNotFound, ArtifactCorrupt):  # the next prediction reports it
                known.pop(reference, None)
                continue
            if files.version_id != old.version_id:
                self._load(old, files)
                known[reference] = files

    def watch(self, engine: Engine) -> None:
        """Notice the changes of other processes, until `close`."""
        self._watching = asyncio.create_task(self._watch(engine))

    async def close(self) -> None:
        """Stop asking; a query that runs is waited for, so that no connection outlives the engine."""
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
        with self._sessions().begin() as session:
            files = VersionFiles.of(models.resolve(session, reference))
            return files.at(self._precision) if files.has(self._precision) else files

    def _load(self, old: VersionFiles, files: VersionFiles) -> None:
        try:
            self._preload_replacement(old, files)
        except ArtifactCorrupt as error:  # the next prediction tells its caller
            log.error("model.corrupt", model=files.model, version=files.number, error=error.message)

    async def _watch(self, engine: Engine) -> None:
        seen, away = None, False
        while not self._closed.is_set():
            try:
                revision = await asyncio.to_thread(read_revision, engine)
                if seen is not None and revision != seen:
                    await asyncio.to_thread(self.refresh)
                seen, away = revision, False
            except SQLAlchemyError as error:
                if not away:
                    log.warning("database.unreachable", error=str(error))
                away = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), INTERVAL_SECONDS)
