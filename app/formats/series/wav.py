"""WAV files: PCM of 8 to 32 bits, and floats. Integers are scaled to -1..1."""

import struct
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from app.errors import FieldError, InvalidDataset
from app.formats.series.recording import Values, check_size

MAGIC = b"RIFF"
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_FORMAT = struct.Struct("<HHIIHH")
_SUBFORMAT_OFFSET = 24


@dataclass(frozen=True, slots=True)
class Sound:
    """Values (channels, time) and the sampling rate in Hz."""

    values: Values
    rate: int


def parse(content: bytes, where: str) -> Sound:
    """Parse a WAV file. Raise InvalidDataset."""
    chunks = _chunks(content)
    header, data = chunks.get(b"fmt "), chunks.get(b"data")
    if header is None or len(header) < _FORMAT.size or not data:
        _reject("it is not a readable WAV file", where)
    kind, channels, rate, _, _, bits = _FORMAT.unpack_from(header)
    if kind == _EXTENSIBLE and len(header) >= _SUBFORMAT_OFFSET + 2:
        (kind,) = struct.unpack_from("<H", header, _SUBFORMAT_OFFSET)
    if (kind, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)} or not channels:
        _reject(f"WAV format {kind} of {bits} bits is not supported; save it as PCM", where)
    values = _values(data, kind, bits)
    steps = len(values) // channels
    if not steps:
        _reject("it has no values", where)
    check_size(channels, steps, where, "the file")
    return Sound(np.ascontiguousarray(values[: steps * channels].reshape(steps, channels).T), rate)


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """Return the first chunk of each name; the last one may be cut short, as recorders write it."""
    found: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= len(content) and content[8:12] == b"WAVE":
        name, size = struct.unpack_from("<4sI", content, position)
        found.setdefault(name, content[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return found


def _values(data: bytes, kind: int, bits: int) -> Values:
    size = bits // 8
    data = data[: len(data) // size * size]
    if kind == _FLOAT:
        with np.errstate(over="ignore"):  # the caller reports infinite values
            return np.frombuffer(data, f"<f{size}").astype(np.float32)
    if bits == 8:  # only these are unsigned
        return ((np.frombuffer(data, np.uint8) - 128.0) / 128).astype(np.float32)
    if bits == 24:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return (padded.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    return (np.frombuffer(data, f"<i{size}") / float(2 ** (bits - 1))).astype(np.float32)


def _reject(detail: str, where: str) -> NoReturn:
    raise InvalidDataset(detail, [FieldError(where, detail)])
