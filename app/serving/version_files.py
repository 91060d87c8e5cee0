"""The stored files of a model version, verified before use. The server and the worker share this module."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app.artifacts import GRAPHS, Manifest, Precision
from app.db.tables import VersionRow
from app.errors import ArtifactCorrupt, PrecisionNotFound
from app.storage import Storage, StoredFile, digest_of


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """A version in one precision, with all that is needed to load it. Responses name `model` and `number`.

    `version_id` differs for each version and each name of its model, since a model can be renamed.
    """

    version_id: str
    manifest: Manifest
    files: Mapping[str, StoredFile]
    model: str = ""
    number: int = 0
    precision: Precision = "float32"

    @classmethod
    def of(cls, row: VersionRow) -> "VersionFiles":
        """Read a row that belongs to a session. Raise UnsupportedManifest, ArtifactCorrupt."""
        files = {file.name: StoredFile(file.storage_key, file.digest, file.size_bytes) for file in row.artifacts}
        return cls(f"{row.id}/{row.model.name}", Manifest.read(row.manifest), files, row.model.name, row.number)

    @property
    def key(self) -> tuple[str, Precision]:
        """The key of the loaded model in the cache."""
        return self.version_id, self.precision

    def has(self, precision: Precision) -> bool:
        """Return whether the version has this graph. Every version has float32, unless it is corrupt."""
        return precision == "float32" or GRAPHS[precision] in self.files

    def at(self, precision: Precision | None) -> "VersionFiles":
        """Return the same version in this precision; None keeps the present one. Raise PrecisionNotFound."""
        if precision is None or precision == self.precision:
            return self
        if not self.has(precision):
            raise PrecisionNotFound(f"Version {self.number} of {self.model} has no {precision} graph.")
        return replace(self, precision=precision)

    @contextmanager
    def local(self, storage: Storage, name: str) -> Iterator[Path]:
        """Yield the path of a file on this machine after checking its digest. Raise ArtifactCorrupt."""
        file = self.files.get(name)
        if file is None or not storage.exists(file.key):
            raise ArtifactCorrupt(f"The file {name} of this version is missing.")
        with storage.local(file.key) as path:
            if digest_of(path) != file.digest:
                raise ArtifactCorrupt(f"The file {name} of this version is not the one that its job stored.")
            yield path

    def copy(self, storage: Storage, names: Iterable[str], folder: Path) -> None:
        """Copy verified files into the folder. Raise ArtifactCorrupt."""
        for name in names:
            with self.local(storage, name) as path:
                shutil.copyfile(path, folder / name)
