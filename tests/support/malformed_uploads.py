"""Uploads that must be rejected, each with the expected JSON pointer and text of the error."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.support import factories


@dataclass(frozen=True)
class Bad:
    """One upload: an error of the response has this `pointer` and contains `text`."""

    filename: str
    content: bytes
    pointer: str
    text: str
    form: dict[str, str] = field(default_factory=dict)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size but has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def zip_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("cat/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def encrypted_zip() -> bytes:
    content = bytearray(factories.zip_bytes({"cat/0.png": b"x"}, zipfile.ZIP_STORED))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    return bytes(content)


def packed_zip(method: int) -> bytes:
    return factories.zip_bytes({"a/0.png": bytes(1000)}, method)


def lying_zip() -> bytes:
    """Return a zip with a member of 50 MB that claims 100 bytes, with their checksum."""
    content = bytearray(factories.zip_bytes({"a/0.png": bytes(50 * 1024**2)}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 16 : entry + 20] = struct.pack("<I", zlib.crc32(bytes(100)))
    content[entry + 24 : entry + 28] = struct.pack("<I", 100)
    return bytes(content)


def long_zip_directory(count: int) -> bytes:
    """Return a zip whose directory length is only in the record of large archives."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(directory), 1)
    return directory + large + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), 0, 0)


def sparse_tar() -> bytes:
    """Return a tar with the map of a sparse file in headers of 2 MB."""
    header = bytearray(tar_member("a/0.png", kind=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + (b"00000000001\0" * 42 + b"\1" + bytes(7)) * 4096)


def nested_tar_headers() -> bytes:
    """Return a tar with nested long names, which tarfile reads recursively."""
    name = tar_member("name", 4, tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT) + b"a/b\0" + bytes(508)
    return gzip.compress(name * 2000)


def npz_header(header: str) -> bytes:
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(16)
    return factories.zip_bytes({"x.npy": npy})


def tar_of(*members: tarfile.TarInfo, packed: bool = False) -> bytes:
    """Return a tar whose members hold zeros of the claimed sizes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if packed else "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def tar_member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
    return member


def long_tar_header() -> bytes:
    """Return a tar with an extended header of 100 MB, which tarfile would read at once."""
    return tar_of(tar_member("pax", 100 * 1024**2, tarfile.XHDTYPE), packed=True)


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def parquet(**columns: list[Any]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


PNG = factories.image_bytes()
ZEROS = np.zeros((4, 8, 8), np.uint8)
IMAGE = {"modality": "image"}
TABULAR = {"modality": "tabular"}
TEXT = {"modality": "text"}

BAD: dict[str, Bad] = {
    "an empty zip file": Bad("a.zip", b"", "/file", "not a readable zip"),
    "an empty csv": Bad("a.csv", b"", "/file", "empty", TABULAR),
    "an empty jsonl": Bad("a.jsonl", b"", "/file", "no "),
    "an empty tar": Bad("a.tar", b"", "/file", "no"),
    "an empty npz": Bad("a.npz", b"", "/file", "not a readable zip"),
    "an empty parquet": Bad("a.parquet", b"", "/file", "not a readable parquet", TABULAR),
    "a csv with a header only": Bad("a.csv", b"x,label\n", "/file", "no rows", TABULAR),
    "an archive without images": Bad("a.zip", factories.zip_bytes({}), "/file", "no images"),
    "not a zip": Bad("a.zip", b"this is no zip" * 100, "/file", "not a readable zip"),
    "not a tar": Bad("a.tar.gz", b"\x1f\x8b this is no tar", "/file", "not a readable tar"),
    "half a zip": Bad("a.zip", factories.image_zip()[:300], "/file", "not a readable zip"),
    "a zip bomb": Bad("a.zip", factories.zip_bytes({f"a/{n}.png": bytes(60 * 1024**2) for n in range(3)}), "/file", "100 times"),
    "a large member": Bad("a.zip", factories.zip_bytes({"a/0.png": bytes(65 * 1024**2)}), "/files/a~10.png", "larger than"),
    "a tar bomb": Bad(
        "a.tar.gz", tar_of(*(tar_member(f".{n}", 60 * 1024**2) for n in range(3)), packed=True), "/file", "100 times"
    ),
    "a member compressed by bzip2": Bad("a.zip", packed_zip(zipfile.ZIP_BZIP2), "/files/a~10.png", "other than deflate"),
    "a member compressed by lzma": Bad("a.zip", packed_zip(zipfile.ZIP_LZMA), "/files/a~10.png", "other than deflate"),
    "a member larger than declared": Bad("a.zip", lying_zip(), "/files/a~10.png", "not an image"),
    "a long zip directory": Bad("a.zip", long_zip_directory(100_001), "/file", "more than 100000 files"),
    "a sparse tar": Bad("a.tar.gz", sparse_tar(), "/file", "sparse"),
    "tar headers in tar headers": Bad("a.tar.gz", nested_tar_headers(), "/file", "not a readable tar"),
    "a long tar header": Bad("a.tar.gz", long_tar_header(), "/file", "header"),
    "path traversal in a zip": Bad(
        "a.zip", factories.zip_bytes({"../../a/0.png": PNG}), "/files/..~1..~1a~10.png", "leaves the archive"
    ),
    "an absolute path in a zip": Bad("a.zip", factories.zip_bytes({"/a/0.png": PNG}), "/files/~1a~10.png", "absolute"),
    "a backslash traversal": Bad("a.zip", factories.zip_bytes({"..\\0.png": PNG}), "/files", "leaves the archive"),
    "path traversal in a tar": Bad("a.tar", tar_of(tar_member("../a/0.png")), "/files/..~1a~10.png", "leaves the archive"),
    "a symlink in a zip": Bad("a.zip", zip_link(), "/files/cat~1link.png", "a link"),
    "a symlink in a tar": Bad("a.tar", tar_of(tar_member("a/0.png", kind=tarfile.SYMTYPE)), "/files/a~10.png", "a link"),
    "an encrypted zip": Bad("a.zip", encrypted_zip(), "/files/cat~10.png", "encrypted"),
    "a huge image": Bad("a.zip", factories.zip_bytes({"a/0.png": png_header(100_000, 100_000)}), "/files/a~10.png", "pixels"),
    "a large image": Bad("a.zip", factories.zip_bytes({"a/0.png": png_header(9_000, 9_000)}), "/files/a~10.png", "9000 x 9000"),
    "a truncated png": Bad("a.zip", factories.zip_bytes({"a/0.png": PNG[:-60]}), "/files/a~10.png", "cannot be decoded"),
    "a truncated jpeg": Bad(
        "a.zip",
        factories.zip_bytes({"a/0.jpg": factories.image_bytes(factories.make_image(64, 64), "JPEG")[:-500]}),
        "/files/a~10.jpg",
        "truncated",
    ),
    "not an image": Bad("a.zip", factories.zip_bytes({"a/0.png": b"hello"}), "/files/a~10.png", "not an image"),
    "a text file in a zip": Bad(
        "a.zip", factories.zip_bytes({"a/notes.txt": b"hello"}), "/files/a~1notes.txt", "no rows of numbers"
    ),
    "nested folders": Bad("a.zip", factories.zip_bytes({"a/b/c/0.png": PNG}), "/files/a~1b~1c~10.png", "class_name/image.png"),
    "a folder in a class folder": Bad(
        "a.zip", factories.zip_bytes({"a/0.png": PNG, "a/b/1.png": PNG}), "/files/a~1b~11.png", "class_name/image.png"
    ),
    "two folders around classes": Bad(
        "a.zip",
        factories.zip_bytes({"train/a/0.png": PNG, "test/a/1.png": PNG}),
        "/files/test~1a~11.png",
        '{"split": "test"}',
    ),
    "folders and none": Bad("a.zip", factories.zip_bytes({"a/0.png": PNG, "1.png": PNG}), "/files/1.png", "class folders"),
    "an object npz": Bad("a.npz", factories.npz_bytes(x=np.array([{}, []], object)), "/x", "Python objects"),
    "object labels": Bad("a.npz", factories.npz_bytes(x=ZEROS, y=np.array([{}] * 4, object)), "/y", "Python objects"),
    "an npz header that is no Python": Bad("a.npz", npz_header("(" * 9000), "/x", "header"),
    "an npz header that is too deep": Bad("a.npz", npz_header("{'descr': " + "-" * 9000 + "1}"), "/x", "header"),
    "a complex npz": Bad("a.npz", factories.npz_bytes(x=ZEROS.astype(np.complex64)), "/x", "expected uint8", IMAGE),
    "a complex npz of no named modality": Bad(
        "a.npz", factories.npz_bytes(x=ZEROS.astype(np.complex64)), "/modality", "image or series"
    ),
    "an npz without x": Bad("a.npz", factories.npz_bytes(images=ZEROS), "/x", "'images'"),
    "an npz with more": Bad("a.npz", factories.npz_bytes(x=ZEROS, z=ZEROS), "/z", "unknown array"),
    "an npz of vectors": Bad("a.npz", factories.npz_bytes(x=np.zeros((4, 8), np.uint8)), "/x", "shape (4, 8)", IMAGE),
    "an npz with few labels": Bad("a.npz", factories.npz_bytes(x=ZEROS, y=np.arange(3)), "/y", "shape (3,)"),
    "an npz without images": Bad("a.npz", factories.npz_bytes(x=ZEROS[:0]), "/file", "no images"),
    "a Fortran npz": Bad("a.npz", factories.npz_bytes(x=np.asfortranarray(ZEROS)), "/x", "ascontiguousarray"),
    "a short row": Bad("a.csv", csv("x,y,label", "1,2,a", "3,b", "5,6,b"), "/rows/2", "2 cells, the header has 3", TABULAR),
    "a long row": Bad("a.csv", csv("x,y,label", "1,2,a", "3,4,b,5"), "/rows/2", "4 cells", TABULAR),
    "a short quoted row": Bad("a.csv", csv("x,y,label", '"1",2,a', "3,b"), "/rows/2", "2 cells", TABULAR),
    "an open quote": Bad("a.csv", csv("x,y,label", '"1,2,a', "3,4,b"), "/rows/1", "not readable as CSV", TABULAR),
    "infinity in a csv": Bad("a.csv", csv("x,label", "1,a", "2,b", "-inf,b"), "/rows/3/x", "not a finite", TABULAR),
    "a number too large": Bad("a.csv", csv("x,label", "1,a", "1e39,b"), "/rows/2/x", "not a finite", TABULAR),
    "text among numbers": Bad("a.csv", csv("x,label", "1,a", "2,b", "low,b"), "/rows/3/x", "text among numbers", TABULAR),
    "a number among text": Bad("a.csv", csv("x,label", "q,a", "2,b", "r,b"), "/rows/2/x", "number among text", TABULAR),
    "invalid utf-8": Bad("a.csv", b"x,label\n1,a\n2,\xff\x81\n", "/file", "neither UTF-8 nor cp1252", TABULAR),
    "duplicate columns": Bad("a.csv", csv("x,x,label", "1,2,a", "3,4,b"), "/columns/2", "both called 'x'", TABULAR),
    "a column without a name": Bad("a.csv", csv("x,,label", "1,2,a", "3,4,b"), "/columns/2", "no name", TABULAR),
    "a NUL in a name": Bad("a.csv", b"x\0,label\n1,a\n2,b\n", "/columns/1", "unusable name", TABULAR),
    "a NUL in a cell": Bad("a.csv", b"x,label\nq\0,a\nr,b\n", "/rows/1/x", "NUL", TABULAR),
    "a NUL in a label": Bad("a.csv", b"x,label\n1,a\n2,b\0\n", "/columns/label", "class name", TABULAR),
    "a missing label column": Bad(
        "a.csv", csv("x,y", "1,2"), "/options/label", "the columns are 'x', 'y'", {**TABULAR, "options": '{"label": "z"}'}
    ),
    "a missing category column": Bad(
        "a.csv", csv("x,y", "1,2"), "/options/categories", "'q'", {"options": '{"categories": ["q"]}'}
    ),
    "name of another kind of table": Bad("a.csv", b"PK\x03\x04" + bytes(100), "/file", "an Excel workbook", TABULAR),
    "data instead of a header": Bad("a.csv", csv("1,2,a", "3,4,b", "5,6,a"), "/columns", "add a first row", TABULAR),
    "only a label": Bad("a.csv", csv("label", "a", "b"), "/columns", "except the label", TABULAR),
    "all cells empty": Bad("a.csv", csv("x,y", ",", ","), "/columns", "empty", TABULAR),
    "too many classes": Bad(
        "a.csv", csv("x,label", *(f"{n},c{n}" for n in range(10_001))), "/columns/label", "not regression", TABULAR
    ),
    "a class name too long": Bad(
        "a.csv", csv("x,label", "1,a", f"2,{'b' * 201}"), "/columns/label", "201 characters and at most 200", TABULAR
    ),
    "labels of a regression": Bad(
        "a.csv", csv("x,label", *(f"{n},{n / 7}" for n in range(50))), "/columns/label", "as for regression", TABULAR
    ),
    "a lone column of lists": Bad("a.parquet", parquet(x=[[1], [2]], label=["a", "b"]), "/columns/x", "List(Int64)"),
    "a lone column of bytes": Bad("a.parquet", parquet(x=[b"a", b"\xff"], label=["a", "b"]), "/columns/x", "Binary"),
    "labels that are lists": Bad("a.parquet", parquet(text=["q", "r"], label=[["a"], ["b"]]), "/columns/label", "List(String)"),
    "not a parquet": Bad("a.parquet", b"PAR1 no, it is not PAR1", "/file", "not a readable parquet", TABULAR),
    "a parquet that aborts its reader": Bad(
        "a.parquet",
        (Path(__file__).parents[1] / "app" / "services" / "aborting.parquet").read_bytes(),
        "/file",
        "it is damaged",
        TABULAR,
    ),
    "not json": Bad("a.jsonl", b'{"text": "a"}\n{"text": \n', "/rows/2", "not JSON"),
    "not an object": Bad("a.jsonl", b'{"text": "a"}\n[1]\n', "/rows/2", "not a JSON object"),
    "deep json": Bad("a.jsonl", b'{"text": "a"}\n' + b"[" * 100_000 + b"\n", "/rows/2", "not JSON"),
    "jsonl without a text": Bad("a.jsonl", b'{"text": "a"}\n{"text": 5}\n{"x": 1}\n', "/rows/2/text", "not a string"),
    "jsonl of nested objects": Bad("a.jsonl", b'{"a": "1", "b": {"c": 2}}\n', "/rows/1/b", "an object or an array"),
    "jsonl with a strange label": Bad("a.jsonl", b'{"text": "a", "label": [1]}\n', "/rows/1/label", "neither"),
    "jsonl with a lone surrogate": Bad("a.jsonl", b'{"text": "\\ud800"}\n', "/rows/1/text", "not a string"),
    "jsonl that is not utf-8": Bad("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "/rows/2", "not UTF-8"),
    "an unknown ending": Bad("a.exe", b"MZ", "/file", "does not end in a known format"),
    "the wrong modality": Bad("a.csv", b"x\n1\n", "/file", "image: .zip", {"modality": "image"}),
    "an unknown modality": Bad("a.csv", b"x\n1\n", "/modality", "image, series, tabular, text", {"modality": "sound"}),
    "an unclear modality": Bad("a.csv", csv("text,x", "a,1", "b,2"), "/modality", "tabular or text"),
    "an unknown option": Bad("a.csv", b"x\n1\n", "/options/colour", "not permitted", {"options": '{"colour": 1}'}),
    "options that are no json": Bad("a.csv", b"x\n1\n", "/options", "Expecting", {"options": "{"}),
    "options that are no object": Bad("a.csv", b"x\n1\n", "/options", "dictionary", {"options": "[]"}),
    "an empty name": Bad("a.csv", b"x\n1\n", "/name", "at least 1 character", {"name": " "}),
    "a NUL in the name": Bad("a.csv", b"x\n1\n", "/name", "is not visible", {"name": "a\0"}),
}
