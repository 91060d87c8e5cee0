"""The same recordings in every format of series."""

import io
import struct
import wave
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.support.factories import npz_bytes

CHANNELS = ("x", "y")
LENGTH = 16

Signals = NDArray[np.float32]


def signals(count: int = 6, length: int = LENGTH) -> Signals:
    """Return signals (count, 2, length) that all formats hold exactly."""
    values = np.random.default_rng(0).integers(-99, 100, (count, len(CHANNELS), length))
    return (values / 4).astype(np.float32)


def classes(count: int = 6) -> list[str]:
    return ["idle", "worn"] * (count // 2)


def npz(values: Signals, labels: Sequence[str]) -> bytes:
    return npz_bytes(x=values, y=np.array(labels))


def csv(values: Signals, labels: Sequence[str]) -> bytes:
    return _long_table(values, labels).write_csv().encode()


def parquet(values: Signals, labels: Sequence[str]) -> bytes:
    content = io.BytesIO()
    _long_table(values, labels).write_parquet(content)
    return content.getvalue()


def ts(values: Signals, labels: Sequence[str]) -> bytes:
    head = ["# a comment", "@problemName Test", "@timeStamps false", f"@classLabel true {' '.join(sorted(set(labels)))}", "@data"]
    parts = ((*(",".join(map(str, channel)) for channel in one), label) for one, label in zip(values, labels, strict=True))
    return "\n".join([*head, *map(":".join, parts)]).encode()


def zip_of_csv(values: Signals, labels: Sequence[str]) -> bytes:
    tables = [pl.DataFrame({"time": range(one.shape[1])} | dict(zip(CHANNELS, one, strict=True))) for one in values]
    return archive(
        [
            (f"{label}/{number}.csv", table.write_csv().encode())
            for number, (table, label) in enumerate(zip(tables, labels, strict=True))
        ]
    )


def archive(files: Sequence[tuple[str, bytes]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in files:
            file.writestr(name, data)
    return content.getvalue()


FORMATS: dict[str, Callable[[Signals, Sequence[str]], bytes]] = {
    "a.npz": npz,
    "a.csv": csv,
    "a.parquet": parquet,
    "a.ts": ts,
    "a.zip": zip_of_csv,
}


def wav(values: NDArray[np.int16], rate: int = 8000) -> bytes:
    """Return a WAV file of 16 bits of values (channels, time)."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(len(values))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(values.T.astype("<i2").tobytes())
    return content.getvalue()


def float_wav(values: Signals, rate: int = 8000) -> bytes:
    """Return a WAV file of 32-bit floats, which the module `wave` cannot write."""
    data = values.T.astype("<f4").tobytes()
    head = struct.pack("<HHIIHH", 3, len(values), rate, rate * 4 * len(values), 4 * len(values), 32)
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _long_table(values: Signals, labels: Sequence[str]) -> pl.DataFrame:
    frames = [
        pl.DataFrame({"id": number, "time": range(one.shape[1])} | dict(zip(CHANNELS, one, strict=True)) | {"label": label})
        for number, (one, label) in enumerate(zip(values, labels, strict=True))
    ]
    return pl.concat(frames)
