"""Where an upload is wrong: the first places in full, the rest as a number."""

from app.errors import FieldError, InvalidDataset

LIMIT = 20


def pointer(*parts: object) -> str:
    """RFC 6901: `pointer("files", "a/b.png")` is `/files/a~1b.png`."""
    return "".join("/" + printable(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def printable(text: str, limit: int = 100) -> str:
    """Foreign text in a message: cut, and without what JSON or a terminal cannot carry."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)


def storable(text: str) -> bool:
    """Whether every database and every JSON document can hold this text: no NUL, no lone surrogate."""
    return "\0" not in text and encodable(text)


def encodable(text: str) -> bool:
    """Whether a text that came as JSON has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class ErrorCollector:
    """Collects what is wrong with one upload."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.count = 0

    def add(self, where: str, detail: str) -> None:
        self.count += 1
        if len(self.errors) < LIMIT:
            self.errors.append(FieldError(where, detail))

    def check(self) -> None:
        """Raises InvalidDataset when anything was added."""
        if not self.count:
            return
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        raise InvalidDataset(f"{self.errors[0].detail}{more}", self.errors)
