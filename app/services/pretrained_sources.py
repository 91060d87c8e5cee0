"""The sources of pretrained encoders for jobs: allowed folders and allowed repositories of the Hub.

Decision: folders are compared by their real path, and so is each file that is read. The same message answers a missing and a
forbidden folder. Context: the caller of a job chooses the checkpoint, and the version that the job makes contains its weights
and its tokenizer. Any folder that the worker can read could be taken away, and different messages would reveal which exist.
Consequences: without a setting no folder is allowed; `isthmus up` on a loopback address allows all, for its one user.
Alternatives: a comparison of the names as given, which links and `..` bypass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from app.errors import FieldError, InvalidRequest
from app.settings import Settings

CONFIG_FILE = "config.json"
EVERYTHING = "*"


class PretrainedNotAllowedError(Exception):
    """The encoder does not exist or is not allowed. The message is for the user and does not say which."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} cannot be used as a pretrained encoder. It is neither a checkpoint in a folder that this service allows, "
            "nor a public repository of the Hub that it allows. The operator sets both: ISTHMUS_PRETRAINED_FOLDERS and "
            "ISTHMUS_PRETRAINED_HUB."
        )


@dataclass(frozen=True, slots=True)
class PretrainedSources:
    """The allowed folders, as real paths, and patterns of allowed repositories. `folders` is None if all are allowed."""

    folders: tuple[Path, ...] | None
    repositories: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> "PretrainedSources":
        names = [name for name in settings.pretrained_folders.split(":") if name]
        folders = None if EVERYTHING in names else tuple(Path(name).resolve() for name in names)
        return cls(folders, tuple(settings.pretrained_hub.replace(",", " ").split()))

    def folder(self, name: str) -> Path | None:
        """Return the real path of an allowed folder that exists. A relative name is looked up in each allowed folder."""
        for path in self._candidates(name):
            try:
                real = path.resolve()
                if self.contains(real) and real.is_dir():
                    return real
            except (OSError, RuntimeError, ValueError):  # an overlong name, a loop of links
                continue
        return None

    def contains(self, real: Path) -> bool:
        """Return whether a real path is in an allowed folder."""
        return self.folders is None or any(real.is_relative_to(folder) for folder in self.folders)

    def allows_repository(self, name: str) -> bool:
        """Return whether a name is that of a repository, `name` or `owner/name`, that a pattern allows."""
        parts = name.split("/")
        is_plain = all(part.strip() == part and part not in ("", ".", "..") for part in parts) and len(parts) <= 2
        return is_plain and any(fnmatchcase(name, pattern) for pattern in self.repositories)

    def check(self, name: str) -> None:
        """Raise InvalidRequest for an encoder that no worker may load, as far as this machine knows."""
        if self.folder(name) is not None or self.allows_repository(name) or self._may_be_elsewhere(name):
            return
        error = PretrainedNotAllowedError(name)
        raise InvalidRequest(str(error), [FieldError("/base/pretrained", str(error))])

    def _candidates(self, name: str) -> Iterator[Path]:
        if Path(name).is_absolute():
            yield Path(name)
        for folder in self.folders or ():
            yield folder / name

    def _may_be_elsewhere(self, name: str) -> bool:
        """Return whether the name is in an allowed folder that only the workers have."""
        absent = [folder for folder in self.folders or () if not folder.exists()]
        try:
            return any((folder / name).resolve().is_relative_to(folder) for folder in absent)
        except (OSError, RuntimeError, ValueError):
            return False


def label(name: str) -> str:
    """Return the name of an encoder without the folder that contains it, for manifests."""
    return Path(name).name if Path(name).is_absolute() else name
