"""A limit of JSON texts before they are parsed: each array and each object takes much more memory and time than its two bytes."""

MAX_CONTAINERS = 2_000_000
"""Arrays and objects of one text, such as 2 megapixels of three channels. They take a second and 200 MB."""


def has_too_many_containers(text: bytes) -> bool:
    """Return whether a text has more arrays and objects than are parsed; brackets in strings count too."""
    return len(text) > MAX_CONTAINERS and text.count(b"[") + text.count(b"{") > MAX_CONTAINERS
