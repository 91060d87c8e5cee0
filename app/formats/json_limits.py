"""Limits of JSON texts before they are parsed: arrays, objects and values take much more memory and time than their bytes."""

MAX_CONTAINERS = 1_000_000
"""Arrays and objects of one text, such as one megapixel of three channels."""
MAX_VALUES = 4_000_000
"""Values of one text. Nothing else runs in this process while they are parsed, which takes some tenths of a second."""


def exceeded_limit(text: bytes) -> str | None:
    """Return the limit that a text exceeds, None if it may be parsed; brackets and commas in strings count too."""
    if len(text) <= MAX_CONTAINERS:
        return None
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        return f"{MAX_CONTAINERS} arrays and objects"
    return f"{MAX_VALUES} values" if text.count(b",") > MAX_VALUES else None
