"""The text of an API key: `isth_<id>_<secret><checksum>`, all in base 62.

The checksum lets the server refuse typing errors, and scanners of source code find real keys, without a look at the database.
"""

import secrets
import string
from dataclasses import dataclass
from hashlib import sha256
from zlib import crc32

PREFIX = "isth_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 8, 40, 6
ADMIN_KEY_ID = "admin"
"""The id of the key that a setting gives, whose text is any long secret."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new key: its id, and its text, which is shown once and never stored."""

    id: str
    text: str


def generate() -> NewToken:
    """Return a random key."""
    key_id, secret = _random(ID_LENGTH), _random(SECRET_LENGTH)
    body = f"{PREFIX}{key_id}_{secret}"
    return NewToken(key_id, body + _checksum(body))


def id_of(text: str) -> str:
    """Return the id of a key, `admin` for a secret of another form, "" for a key whose checksum is wrong."""
    if not text.startswith(PREFIX):
        return ADMIN_KEY_ID
    body, checksum = text[:-CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    key_id, _, secret = body.removeprefix(PREFIX).partition("_")
    is_whole = len(key_id) == ID_LENGTH and len(secret) == SECRET_LENGTH and _checksum(body) == checksum
    return key_id if is_whole else ""


def digest_of(text: str) -> str:
    """Return what is stored of a key. Its secret has 238 random bits, so that one fast hash is enough."""
    return sha256(text.encode()).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number, digits = crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
