"""Errors of an upload, the first ones in full, the rest as a count; and its warnings."""

from collections.abc import Sequence
from typing import Any

from app.errors import FieldError, InvalidDataset

LIMIT = 20


def pointer(*parts: object) -> str:
    """Return an RFC 6901 JSON pointer: `pointer("files", "a/b.png")` is `/files/a~1b.png`."""
    return "".join("/" + printable(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def printable(text: str, limit: int = 100) -> str:
    """Truncate untrusted text for a message and replace unprintable characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)


def storable(text: str) -> bool:
    """Return whether every database and JSON document can hold this text: no NUL, no lone surrogate."""
    return "\0" not in text and encodable(text)


def encodable(text: str) -> bool:
    """Return whether a text from JSON has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class ErrorCollector:
    """The errors and warnings of one upload."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.count = 0
        self.warnings: list[dict[str, Any]] = []
        """Objects with `code`, `message`, `location` and `examples`."""

    def warn(self, code: str, message: str, location: str, examples: Sequence[str] = ()) -> None:
        """Report how a part of the upload was interpreted."""
        self.warnings.append({"code": code, "message": message, "location": location, "examples": list(examples)})

    def add(self, where: str, detail: str) -> None:
        self.count += 1
        if len(self.errors) < LIMIT:
            self.errors.append(FieldError(where, detail))

    def extend(self, others: "ErrorCollector") -> None:
        """Add the errors of another collector."""
        self.errors += others.errors[: LIMIT - len(self.errors)]
        self.count += others.count

    def check(self) -> None:
        """Raise InvalidDataset if any error was added."""
        if not self.count:
            return
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        raise InvalidDataset(f"{self.errors[0].detail}{more}", self.errors)
