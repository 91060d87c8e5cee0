"""A cache of resolved model references: predictions need no query.

A change that this process commits takes effect at the next lookup. After a change of another process (`app.db.revision_watcher`),
`refresh` resolves the cached references again and loads each new version, while the old one still serves. While the database is
unreachable, cached references stay valid. Each project has its own references.
"""

from collections.abc import Callable
from contextlib import suppress

import structlog

from app.artifacts import Precision
from app.db.projects import PROJECT, ScopedSessions
from app.db.session import SessionFactory
from app.errors import ArtifactCorrupt, ModelNotFound, StorageUnavailable
from app.services import models
from app.serving.version_files import VersionFiles

log = structlog.get_logger()

MAX_CACHED = 10_000
"""Cached references; a version has several. The cache is cleared when it is full."""

Key = tuple[str, str]
"""A project and a reference."""


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
        self._cached: dict[Key, VersionFiles] = {}
        self._commits = 0

    def get_cached(self, project: str, reference: str) -> VersionFiles | None:
        """Return the version from the cache, without a query."""
        return self._current().get((project, reference))

    def resolve(self, project: str, reference: str) -> VersionFiles:
        """Return the version from the database and cache it. Raise ModelNotFound, ArtifactCorrupt."""
        key = project, reference
        cached: dict[Key, VersionFiles] | None = None
        while cached is not self._current():  # a change during the query may be missing from its result
            cached = self._current()
            files = self._query(key)
        if len(cached) < MAX_CACHED:
            cached[key] = files
        else:
            self._cached = {key: files}
        return files

    def preload(self, project: str, reference: str, version: str) -> None:
        """Load the version that a cached reference is about to name, so that no request waits for it. Block."""
        old = self.get_cached(project, reference)
        if old is not None:
            with suppress(ModelNotFound, ArtifactCorrupt):  # the next prediction reports it
                self._load(old, self.resolve(project, version))

    def refresh(self) -> None:
        """Resolve all cached references again; a reference changes when its new version is loaded.

        Raise StorageUnavailable at the end if a new version could not be loaded. The old one still serves.
        """
        self._cached = cached = dict(self._current())
        unavailable: StorageUnavailable | None = None
        for key, old in list(cached.items()):
            try:
                files = self._query(key)
            except (ModelNotFound, ArtifactCorrupt):  # the next prediction reports it
                cached.pop(key, None)
                continue
            if files.version_id != old.version_id:
                try:
                    self._load(old, files)
                except StorageUnavailable as error:
                    unavailable = error
                else:
                    cached[key] = files
        if unavailable is not None:
            raise unavailable

    def _current(self) -> dict[Key, VersionFiles]:
        commits = self._sessions().registry_commits.count
        if self._commits != commits:
            self._commits = commits
            self._cached = {}
        return self._cached

    def _query(self, key: Key) -> VersionFiles:
        project, reference = key
        with ScopedSessions(self._sessions(), {PROJECT: project}).for_reading() as session:
            files = VersionFiles.of(models.resolve(session, reference))
            return files.at(self._precision) if files.has(self._precision) else files

    def _load(self, old: VersionFiles, files: VersionFiles) -> None:
        try:
            self._preload_replacement(old, files)
        except ArtifactCorrupt as error:  # the next prediction reports it
            log.error("model.corrupt", model=files.model, version=files.number, error=error.message)
