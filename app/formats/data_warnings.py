"""Warnings about data that was accepted, but may not mean what its sender expects."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataWarning:
    """`code` is stable. `location` is a JSON pointer such as `/columns/id`; `examples` are up to five values."""

    code: str
    message: str
    location: str
    examples: tuple[str, ...] = ()
