"""Checkpoints of pretrained encoders on this machine: allowed, downloaded if needed, and reduced to the files that are read.

The transformers library gets a folder of links to these files only, by their real paths. It finds no other file there.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.encoders import downloads
from app.encoders.catalogue import known
from app.encoders.downloads import WEIGHTS, WEIGHTS_INDEX, DownloadError, UnknownRepositoryError, is_read
from app.services.pretrained_sources import PretrainedNotAllowedError, PretrainedSources
from app.settings import Settings
from worker.networks.catalogue_files import catalogue_folder
from worker.protocol.progress import BadParameters


@dataclass(frozen=True, slots=True)
class UploadedEncoder:
    """The unpacked files of an uploaded encoder, and the licence of its weights."""

    folder: Path
    licence: str


uploads: dict[str, UploadedEncoder] = {}
"""The uploaded encoders of the jobs of this process by their ids."""


def linked_checkpoint(pretrained: str, settings: Settings) -> Path:
    """Return a new folder with links to the files of a checkpoint. Raise BadParameters."""
    if pretrained in uploads:
        own = uploads[pretrained].folder
        return _links(own, PretrainedSources((own.resolve(),), ()), pretrained)
    encoder = known(pretrained)
    if encoder is not None:
        own = catalogue_folder(encoder)
        return _links(own, PretrainedSources((own.parents[1],), ()), pretrained)
    sources = PretrainedSources.of(settings)
    folder = sources.folder(pretrained)
    if folder is None:
        if not sources.allows_repository(pretrained):
            raise BadParameters(str(PretrainedNotAllowedError(pretrained)))
        folder = _downloaded(pretrained, settings.max_download_bytes)
        sources = PretrainedSources((folder.parents[1],), ())  # the repository's folder in the cache: links lead to its files
    return _links(folder, sources, pretrained)


def _links(folder: Path, sources: PretrainedSources, pretrained: str) -> Path:
    links = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    for file in _matching(folder.iterdir()):
        real = file.resolve()
        if not sources.contains(real):
            raise BadParameters(f"{file.name} of {pretrained} is a link to a file outside of the allowed folders.")
        (links / file.name).symlink_to(real)
    _check_index(links, pretrained)
    return links


def _matching(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        if is_read(file.name) and file.is_file():
            yield file


def _check_index(links: Path, pretrained: str) -> None:
    """Raise BadParameters if an index of weights names a file that is not linked, such as one in another folder."""
    for index in links.glob(WEIGHTS_INDEX):
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BadParameters(f"{index.name} of {pretrained} cannot be read.") from error
        if not names <= {file.name for file in links.glob(WEIGHTS)}:
            raise BadParameters(f"{index.name} of {pretrained} names files that the checkpoint does not have.")


@cache
def _downloaded(repository: str, max_bytes: int) -> Path:
    """Download the files of a public repository. Raise BadParameters."""
    try:
        return downloads.download(repository, max_bytes)
    except UnknownRepositoryError as error:
        raise BadParameters(str(PretrainedNotAllowedError(repository))) from error
    except DownloadError as error:
        raise BadParameters(str(error)) from error
