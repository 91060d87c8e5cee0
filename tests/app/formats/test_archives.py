"""Members of archives: order, bounds and rejected entries."""

import io
import tarfile
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from app.errors import InvalidDataset
from app.formats import archives
from app.formats.validation import ErrorCollector
from tests.support import factories
from tests.support.malformed_uploads import lying_zip, tar_member, tar_of

FILES = {"a/1.png": b"one", "a/2.png": b"two" * 5000, "b/3.png": b"three"}


def tar(files: dict[str, bytes], packed: bool) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if packed else "w") as archive:
        for name, content in files.items():
            member = tar_member(name, len(content))
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVES = {"zip": factories.zip_bytes(FILES), "tar": tar(FILES, packed=False), "tar.gz": tar(FILES, packed=True)}


def read(path: Path, format: str) -> tuple[dict[str, bytes], ErrorCollector]:
    errors = ErrorCollector()
    return {member.name: member.read() for member in archives.members(path, format, errors)}, errors


@pytest.mark.parametrize("ending", ARCHIVES)
def test_members_are_yielded_in_order_with_their_bytes(tmp_path: Path, ending: str) -> None:
    path = factories.write(tmp_path, f"a.{ending}", ARCHIVES[ending])
    contents, errors = read(path, ending[:3])
    assert list(contents.items()) == list(FILES.items())
    assert errors.count == 0


@pytest.mark.parametrize("ending", ARCHIVES)
def test_unread_members_are_skipped(tmp_path: Path, ending: str) -> None:
    path = factories.write(tmp_path, f"a.{ending}", ARCHIVES[ending])
    assert [member.name for member in archives.members(path, ending[:3], ErrorCollector())] == list(FILES)


@pytest.mark.parametrize("ending", ARCHIVES)
@pytest.mark.parametrize("percent", range(0, 100, 9))
def test_truncated_archive_is_rejected(tmp_path: Path, ending: str, percent: int) -> None:
    content = ARCHIVES[ending]
    path = factories.write(tmp_path, f"a.{ending}", content[: len(content) * percent // 100])
    try:
        contents, _ = read(path, ending[:3])
    except InvalidDataset:
        return
    # the end mark of a tar is optional: truncated between members it is a shorter tar
    assert ending == "tar"
    assert list(contents.items()) == list(FILES.items())[: len(contents)]


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_flipped_bytes_never_change_a_member_silently(tmp_path: Path, ending: str) -> None:
    content = ARCHIVES[ending]
    for position in range(0, len(content), 7):
        broken = bytearray(content)
        broken[position] ^= 0xFF
        path = factories.write(tmp_path, f"a.{ending}", bytes(broken))
        with suppress(InvalidDataset):
            assert read(path, ending[:3])[0].items() <= FILES.items()


def test_operating_system_files_are_ignored(tmp_path: Path) -> None:
    names = ["__MACOSX/a/._1.png", "a/.DS_Store", ".hidden/x.png", "a/Thumbs.db", "a/1.png", "a/"]
    path = factories.write(tmp_path, "a.zip", factories.zip_bytes(dict.fromkeys(names, b"")))
    assert list(read(path, "zip")[0]) == ["a/1.png"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.png", True),
        ("a..b/c..png", True),
        ("../a", False),
        ("a/../b", False),
        ("/a", False),
        ("C:\\a", False),
        ("a\\..\\b", False),
    ],
)
def test_unsafe_path_reason_is_none_only_for_safe_names(name: str, safe: bool) -> None:
    assert (archives.unsafe_path_reason(name) is None) is safe


def test_too_many_members_are_rejected_before_loading_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    for format, content in (("zip", ARCHIVES["zip"]), ("tar", ARCHIVES["tar"])):
        with pytest.raises(InvalidDataset, match="more than 2 files"):
            read(factories.write(tmp_path, "a", content), format)


def test_duplicate_zip_member_is_rejected(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/1.png", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/1.png", b"two")
    _, errors = read(factories.write(tmp_path, "a.zip", buffer.getvalue()), "zip")
    assert "twice" in errors.errors[0].detail


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_rejected(tmp_path: Path, kind: bytes) -> None:
    path = factories.write(tmp_path, "a.tar", tar_of(tar_member("a/1.png", kind=kind)))
    contents, errors = read(path, "tar")
    assert not contents
    assert "link or a special file" in errors.errors[0].detail


def test_member_is_unpacked_only_to_its_declared_size(tmp_path: Path) -> None:
    path = factories.write(tmp_path, "a.zip", lying_zip())
    tracemalloc.start()
    try:
        contents, _ = read(path, "zip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert contents == {"a/0.png": bytes(100)}
    assert peak < 2 * 1024**2
