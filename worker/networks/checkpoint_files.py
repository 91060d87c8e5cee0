"""Checkpoints of pretrained encoders on this machine: allowed, downloaded if needed, and reduced to the files that are read.

The transformers library gets a folder of links to these files only, by their real paths. It finds no other file there.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import httpx
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from app.services.pretrained_sources import CONFIG_FILE, PretrainedNotAllowedError, PretrainedSources
from app.settings import Settings
from worker.protocol.progress import BadParameters

WEIGHTS = "model*.safetensors"
WEIGHTS_INDEX = f"{WEIGHTS}.index.json"
TOKENIZER, IMAGE_PROCESSOR = "tokenizer.json", "preprocessor_config.json"
VOCABULARIES = ["vocab*", "*.model"]
TOKENIZER_FILES = ["tokenizer*", *VOCABULARIES, "merges.txt", "special_tokens_map.json", "added_tokens.json"]
FILES = [CONFIG_FILE, IMAGE_PROCESSOR, WEIGHTS, WEIGHTS_INDEX, *TOKENIZER_FILES]
HUB_SECONDS = 30


def linked_checkpoint(pretrained: str, settings: Settings) -> Path:
    """Return a new folder with links to the files of a checkpoint. Raise BadParameters."""
    sources = PretrainedSources.of(settings)
    folder = sources.folder(pretrained)
    if folder is None:
        if not sources.allows_repository(pretrained):
            raise BadParameters(str(PretrainedNotAllowedError(pretrained)))
        folder = _downloaded(pretrained, settings.max_download_bytes)
        sources = PretrainedSources((folder.parents[1],), ())  # the repository's folder in the cache: links lead to its files
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


def is_read(name: str) -> bool:
    """Return whether a file of a checkpoint is ever read."""
    return any(fnmatchcase(name, pattern) for pattern in FILES)


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
    """Download the files of a public repository, without a token. Raise BadParameters."""
    try:
        return _download(repository, max_bytes)
    except (HFValidationError, RepositoryNotFoundError) as error:  # a gated repository is not found either
        raise BadParameters(str(PretrainedNotAllowedError(repository))) from error
    except LocalEntryNotFoundError as error:
        raise BadParameters(f"{repository} is not in this machine's cache, and the Hub cannot be reached.") from error
    except (HfHubHTTPError, httpx.HTTPError) as error:
        raise BadParameters(f"{repository} cannot be downloaded from the Hub. The log of the worker has the details.") from error


def _download(repository: str, max_bytes: int) -> Path:
    try:
        info = HfApi(token=False).model_info(repository, files_metadata=True, timeout=HUB_SECONDS)
    except (OfflineModeIsEnabled, httpx.TransportError):
        return Path(snapshot_download(repository, allow_patterns=FILES, token=False, local_files_only=True))
    files = [file for file in info.siblings or [] if is_read(file.rfilename)]
    size = sum(file.size or 0 for file in files)
    if size > max_bytes:
        raise BadParameters(f"{repository} has {size} bytes; this service downloads at most {max_bytes}.")
    names = [file.rfilename for file in files]
    return Path(snapshot_download(repository, revision=info.sha, allow_patterns=names, token=False))
