"""Names of the members of a zip, decoded as their writer meant them.

Context: a zip without the UTF-8 flag does not name the encoding of its names. macOS writes UTF-8 without the flag, and
Windows writes the code page of its language. Decision: the Unicode path field decides, then the flag, then UTF-8 if all names
are valid in it. Otherwise the code page wins in which most characters are common ones of one script, with a warning.
"""

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence

from app.formats.validation import ErrorCollector, printable

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_WRITTEN_AS = "cp437"
"""The code page in which zipfile decodes names without the flag. Every byte has a character in it."""
_KNOWN_SHARE = 0.6
"""Smallest share of common characters in a name that is not garbled."""
_EXAMPLES = 3
IsCommon = Callable[[str, str, str], bool]
"""Whether a character is a common one of the script, given the characters before and after it."""
_HANGUL_LETTERS = 3
"""From this number on, Hangul in every character is no coincidence: 62 % of Chinese characters have the bytes of one."""


def member_names(archive: zipfile.ZipFile, errors: ErrorCollector) -> list[str]:
    """Return the name of each member, in the order of the archive. Add a warning if the encoding is a guess."""
    raw = [_undecoded(info) for info in archive.infolist()]
    unknown = [name for name in raw if name is not None and not name.isascii()]
    encoding = _encoding_of(list(dict.fromkeys(unknown))) if unknown else "ascii"
    names = [info.filename if name is None else name.decode(encoding) for info, name in zip(archive.infolist(), raw, strict=True)]
    if unknown and encoding != "utf-8":
        _warn(encoding, [printable(name.decode(encoding)) for name in unknown], errors)
    return [(path or name).replace("\\", "/") for path, name in zip(map(_unicode_path, archive.infolist()), names, strict=True)]


def _warn(encoding: str, names: Sequence[str], errors: ErrorCollector) -> None:
    message = (
        f"The names in the zip do not say their encoding. They were read as {encoding.upper()}. If they are wrong, write the zip "
        "with a tool that marks names as UTF-8."
    )
    errors.warn("guessed_name_encoding", message, "/files", list(dict.fromkeys(names))[:_EXAMPLES])


def _undecoded(info: zipfile.ZipInfo) -> bytes | None:
    """Return the bytes of a name whose encoding is unknown, None if it is known."""
    if info.flag_bits & _UTF8_FLAG or _unicode_path(info):
        return None
    return info.orig_filename.split("\0")[0].encode(_WRITTEN_AS)


def _unicode_path(info: zipfile.ZipInfo) -> str | None:
    """Return the name in the Unicode path field, if it was written for this name."""
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            return _checked_path(info, field)
    return None


def _checked_path(info: zipfile.ZipInfo, field: bytes) -> str | None:
    written = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_FLAG else _WRITTEN_AS)
    if zlib.crc32(written) != int.from_bytes(field[1:5], "little"):
        return None
    try:
        return field[5:].decode().split("\0")[0] or None
    except UnicodeDecodeError:
        return None


def _encoding_of(names: Sequence[bytes]) -> str:
    """Return the encoding in which all names can be read and look most like names."""
    if _decoded(names, "utf-8") is not None:
        return "utf-8"
    scores = {encoding: _score(names, encoding, is_common) for encoding, is_common in _CODE_PAGES.items()}
    best = max(scores, key=lambda encoding: scores[encoding])
    if scores["cp949"] == scores[best] and sum(map(_letters, names)) >= 2 * _HANGUL_LETTERS:
        return "cp949"
    return best if scores[best] >= _KNOWN_SHARE else _WRITTEN_AS


def _letters(name: bytes) -> int:
    return sum(byte > 0x7F for byte in name)


def _decoded(names: Sequence[bytes], encoding: str) -> list[str] | None:
    try:
        return [name.decode(encoding) for name in names]
    except UnicodeDecodeError:
        return None


def _score(names: Sequence[bytes], encoding: str, is_common: IsCommon) -> float:
    """Return the share of the characters beyond ASCII that are common in this code page."""
    texts = _decoded(names, encoding)
    if texts is None:
        return 0.0
    windows = [
        window for text in texts for window in zip(" " + text, text, text[1:] + " ", strict=False) if not window[1].isascii()
    ]
    return sum(is_common(*window) for window in windows) / len(windows) if windows else 0.0


def _in_rows(encoding: str, first: int, last: int, least_trail: int = 0x40) -> IsCommon:
    """Return whether a character has two bytes of the rows that hold the common characters of the encoding."""

    def is_common(before: str, char: str, after: str) -> bool:
        code = char.encode(encoding, "ignore")
        return len(code) == 2 and first <= code[0] <= last and code[1] >= least_trail

    return is_common


def _is_japanese(before: str, char: str, after: str) -> bool:
    is_kana = "ぁ" <= char <= "ヺ" or char == "ー"
    return is_kana or _in_rows("cp932", 0x88, 0x97)(before, char, after)


def _is_cyrillic(before: str, char: str, after: str) -> bool:
    beside_latin = any(other.isascii() and other.isalpha() for other in (before, after))
    return "Ѐ" <= char <= "ӿ" and not beside_latin and not _breaks_case(before, char, after)


def _is_latin(before: str, char: str, after: str) -> bool:
    return char.isalpha() and unicodedata.name(char, "").startswith("LATIN") and not _breaks_case(before, char, after)


def _breaks_case(before: str, char: str, after: str) -> bool:
    """Return whether a capital follows a small letter, as in `cafÉ`."""
    return (before.islower() and char.isupper()) or (char.islower() and after.isupper())


_CODE_PAGES: dict[str, IsCommon] = {
    "cp437": _is_latin,
    "gbk": _in_rows("gbk", 0xB0, 0xD7, 0xA1),
    "cp932": _is_japanese,
    "big5": _in_rows("big5", 0xA4, 0xC6),
    "cp949": _in_rows("cp949", 0xB0, 0xC8, 0xA1),
    "cp866": _is_cyrillic,
    "cp1251": _is_cyrillic,
    "cp850": _is_latin,
    "cp1252": _is_latin,
}
"""Code pages in which Windows writes names, and the test for their common characters. The first of equal ones wins."""
