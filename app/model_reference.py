"""The grammar of model references: `digits`, `digits:3`, `digits@production`.

A reference without number and alias means `@production` if the model has that alias, or else the newest version.
"""

import re

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What models and aliases may be called: neither `:` nor `@`, which separate the parts of a reference."""
PRODUCTION = "production"
DEFAULT_PROJECT = "default"
"""The project of callers without a key, and of keys that name none."""
MAX_VERSION_NUMBER = 2**31 - 1
REFERENCE = re.compile(rf"(?P<name>{NAME})(:(?P<number>[0-9]{{1,10}})|@(?P<alias>{NAME}))?")


def is_valid_name(text: str) -> bool:
    """Return whether `text` may name a model or an alias."""
    return re.fullmatch(NAME, text) is not None
