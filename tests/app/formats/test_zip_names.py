"""Names of zip members in several encodings, and members that operating systems add."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from app.formats import archives
from app.formats.validation import ErrorCollector
from app.modalities import MODALITIES
from tests.support import factories
from tests.support.dataset_reading import checked
from tests.support.malformed_uploads import tar_member

IMAGE = MODALITIES["image"]


class RawName(zipfile.ZipInfo):
    """A member whose name is written as these bytes, without the UTF-8 flag."""

    def __init__(self, raw: bytes, extra: bytes) -> None:
        super().__init__(raw.hex())
        self.raw = raw
        self.extra = extra

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.raw, self.flag_bits


def zip_of(names: Iterable[bytes], extra: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(RawName(name, extra), factories.image_bytes(factories.make_image(seed=number)))
    return buffer.getvalue()


def tar_of_files(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            archive.addfile(tar_member(name, len(content)), io.BytesIO(content))
    return buffer.getvalue()


def read(folder: Path, content: bytes) -> tuple[list[str], ErrorCollector]:
    errors = ErrorCollector()
    path = factories.write(folder, "a.zip", content)
    return [member.name for member in archives.members(path, "zip", errors)], errors


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("gbk", ["正常", "故障"]),
        ("gbk", ["猫", "狗"]),
        ("cp949", ["정상", "고장"]),
        ("cp932", ["ねこ", "犬"]),
        ("big5", ["貓", "狗"]),
        ("cp866", ["норма", "брак"]),
        ("cp1251", ["Кошка", "Собака"]),
        ("cp437", ["café", "naïf"]),
        ("cp850", ["São", "maçã"]),
        ("cp1252", ["Äpfel", "Öl"]),
    ],
)
def test_names_of_a_windows_code_page_are_guessed_with_a_warning(tmp_path: Path, encoding: str, words: list[str]) -> None:
    names, errors = read(tmp_path, zip_of([f"{word}/{number}.png".encode(encoding) for number, word in enumerate(words)]))
    assert names == [f"{word}/{number}.png" for number, word in enumerate(words)]
    assert [warning["code"] for warning in errors.warnings] == ["guessed_name_encoding"]
    assert encoding.upper() in errors.warnings[0]["message"]
    assert errors.warnings[0]["examples"] == names


def test_names_in_utf8_without_the_flag_need_no_warning(tmp_path: Path) -> None:
    names, errors = read(tmp_path, zip_of(["café/0.png".encode(), "naïf/1.png".encode()]))
    assert names == ["café/0.png", "naïf/1.png"]
    assert not errors.warnings


@pytest.mark.parametrize(("damage", "expected"), [(0, "正常.png"), (1, "_____.png")])
def test_unicode_path_field_decides_if_it_belongs_to_the_name(tmp_path: Path, damage: int, expected: str) -> None:
    name = b"_____.png"
    field = struct.pack("<BI", 1, zlib.crc32(name) ^ damage) + "正常.png".encode()
    names, errors = read(tmp_path, zip_of([name], struct.pack("<HH", 0x7075, len(field)) + field))
    assert names == [expected]
    assert not errors.warnings


@pytest.mark.parametrize(
    "junk", ["cat/Icon\r", "__MACOSX/cat/._0.png", "cat/._0.png", ".DS_Store", "cat/Thumbs.db", "cat/@eaDir/0.png"]
)
@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_files_of_operating_systems_are_left_out(tmp_path: Path, junk: str, ending: str) -> None:
    files = {f"{name}/0.png": factories.image_bytes() for name in ("cat", "dog")} | {junk: b""}
    path = factories.write(tmp_path, f"a.{ending}", factories.zip_bytes(files) if ending == "zip" else tar_of_files(files))
    assert IMAGE.check(path, ending, IMAGE.options()).classes == {"cat": 1, "dog": 1}


def test_junk_does_not_hide_a_path_that_leaves_the_archive(tmp_path: Path) -> None:
    assert read(tmp_path, factories.zip_bytes({"__MACOSX/../../x": b""}))[1].count == 1


@pytest.mark.parametrize(
    ("case", "file", "classes"),
    [
        ("zip-gbk-names", "source.zip", ["故障", "正常"]),
        ("zip-gbk-names", "evaluation.zip", ["故障", "正常"]),
        ("zip-macos-utf8-names", "source.zip", ["café", "naïf"]),
        ("zip-macos-utf8-names", "evaluation.zip", ["café", "naïf"]),
        ("zip-macos-icon", "source.zip", ["cat", "dog"]),
    ],
)
def test_known_cases_have_their_classes(shared_cases: Path, case: str, file: str, classes: list[str]) -> None:
    profile = IMAGE.check(shared_cases / case / file, "zip", IMAGE.options())
    assert sorted(profile.classes or {}) == sorted(classes)
    assert ("warnings" in checked(shared_cases / case / file, "image", "zip").details) is (
        case + file == "zip-gbk-namessource.zip"
    )
