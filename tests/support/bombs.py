"""Small uploads that are expensive to read: images with very many pixels, plain bitmaps, JSON objects with very many keys."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np


def blank_png(side: int) -> bytes:
    """Return an RGBA PNG of 16 bits per channel, all zeros: a few kilobytes for 8 bytes a pixel."""
    rows = zlib.compressobj(9)
    line = bytes(1 + 8 * side)
    data = b"".join(rows.compress(line) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def images(count: int, side: int, salt: int = 0) -> bytes:
    """Return an archive of `count` blank images; `salt` makes each archive another dataset."""
    png = blank_png(side)
    return packed({f"{'ab'[number % 2]}/{salt}-{number}.png": png for number in range(count)})


def plain_bitmap(side: int) -> bytes:
    """Return an archive with a PBM in plain text, one character a pixel."""
    return packed({"a/0.pbm": f"P1 {side} {side} ".encode() + b"1" * (side * side)})


def wide_objects(keys: int, lines: int) -> bytes:
    """Return JSON lines whose objects have very many keys."""
    names = np.arange(keys).astype(str)
    line = b"{" + b",".join(b'"%s":0' % name.encode() for name in names) + b"}\n"
    return line * lines


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
