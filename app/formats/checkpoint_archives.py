"""Uploaded checkpoints: a zip with the files of a checkpoint of the transformers library, at its root or in one folder.

Only safe files are read: JSON, vocabularies and safetensors. A checkpoint with other weights is refused; other files are ignored.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import Any, BinaryIO

from pydantic import BaseModel, NonNegativeInt, TypeAdapter, ValidationError

from app.encoders.downloads import CONFIG_FILE, IMAGE_PROCESSOR, TOKENIZER_FILES, WEIGHTS, is_read
from app.errors import FieldError, InvalidDataset
from app.formats.archives import as_invalid_dataset, is_encrypted, is_hidden, open_zip, unsafe_path_reason
from app.formats.validation import pointer, printable

MAX_JSON_BYTES = 64 * 1024**2
MAX_HEADER_BYTES = 100 * 1024**2
"""Maximum size of the header of safetensors, as in their library."""
UNSAFE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
CHUNK = 1024**2


class _Tensor(BaseModel):
    """One tensor in the header of safetensors: the positions of its first byte and of the byte behind it."""

    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


_TENSORS = TypeAdapter(dict[str, _Tensor])


def check(path: Path) -> str:
    """Read the whole archive and return the modality of the encoder. Raise InvalidDataset."""
    with open_zip(path) as archive:
        files = _files(archive)
        if CONFIG_FILE not in files:
            raise _invalid("/file", f"there is no {CONFIG_FILE}: zip the folder of a checkpoint of the transformers library")
        _check_config(_json(archive, files[CONFIG_FILE]))
        weights = [name for name in files if PurePosixPath(name).match(WEIGHTS)]
        if not weights:
            unsafe = [name for name in archive.namelist() if name.endswith(UNSAFE_SUFFIXES)]
            shown = f"; {printable(unsafe[0])} is in a format that may contain code" if unsafe else ""
            raise _invalid("/file", f"there is no model.safetensors{shown}: save the weights as safetensors")
        for name, member in files.items():
            with as_invalid_dataset("file of the checkpoint", pointer("files", name)), archive.open(member) as file:
                if name in weights:
                    _check_safetensors(file, member.file_size)
                while file.read(CHUNK):
                    pass
        return _modality(files)


def extract(path: Path, folder: Path) -> None:
    """Write the files that are read into a new folder, under their last names. Raise InvalidDataset."""
    folder.mkdir(parents=True)
    with open_zip(path) as archive:
        for name, member in _files(archive).items():
            with archive.open(member) as source, (folder / name).open("wb") as target:
                copyfileobj(source, target, CHUNK)


def _files(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members that are read by their names, those of the folder with the config."""
    members = [info for info in archive.infolist() if not info.is_dir() and not is_hidden(info.filename)]
    for info in members:
        problem = "encrypted" if is_encrypted(info) else unsafe_path_reason(info.filename)
        if problem:
            raise _invalid(pointer("files", info.filename), f"{printable(info.filename)}: {problem}")
    folders = {PurePosixPath(info.filename).parent for info in members if PurePosixPath(info.filename).name == CONFIG_FILE}
    folder = min(folders, key=lambda path: len(path.parts), default=PurePosixPath())
    found: dict[str, zipfile.ZipInfo] = {}
    for info in members:
        path = PurePosixPath(info.filename)
        if path.parent == folder and is_read(path.name):
            if path.name in found:
                raise _invalid(pointer("files", info.filename), f"{printable(path.name)} comes twice")
            found[path.name] = info
    return found


def _json(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Mapping[str, Any]:
    where = pointer("files", member.filename)
    if member.file_size > MAX_JSON_BYTES:
        raise _invalid(where, f"{printable(member.filename)} is too large")
    with as_invalid_dataset("JSON file", where):
        values = json.loads(archive.read(member))
    if not isinstance(values, dict):
        raise _invalid(where, f"{printable(member.filename)} is not a JSON object")
    return values


def _check_config(config: Mapping[str, Any]) -> None:
    if not isinstance(config.get("model_type"), str):
        raise _invalid(pointer("files", CONFIG_FILE), f"{CONFIG_FILE} has no `model_type`")
    if "auto_map" in config:
        raise _invalid(pointer("files", CONFIG_FILE), "the encoder needs code of its own (`auto_map`), which is never run")


def _check_safetensors(file: Any, size: int) -> None:
    """Raise ValueError unless the header describes tensors in a file of this size."""
    length = int.from_bytes(_exactly(file, 8), "little")
    if length > min(size - 8, MAX_HEADER_BYTES):
        raise ValueError("its header is longer than the file")
    header = json.loads(_exactly(file, length))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    header.pop("__metadata__", None)
    try:
        tensors = _TENSORS.validate_python(header)
    except ValidationError as error:
        raise ValueError(f"its header is damaged at {printable(str(error.errors()[0]['loc'][0]))}") from error
    for name, tensor in tensors.items():
        first, end = tensor.data_offsets
        if not first <= end <= size - 8 - length:
            raise ValueError(f"the tensor {printable(name)} is not in the file")


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise EOFError("it is cut short")
    return content


def _modality(files: Mapping[str, Any]) -> str:
    if IMAGE_PROCESSOR in files:
        return "image"
    if any(PurePosixPath(name).match(pattern) for name in files for pattern in TOKENIZER_FILES):
        return "text"
    raise _invalid("/file", f"there is neither a {IMAGE_PROCESSOR} (images) nor a tokenizer (texts)")


def _invalid(where: str, detail: str) -> InvalidDataset:
    return InvalidDataset(detail, [FieldError(where, detail)])
