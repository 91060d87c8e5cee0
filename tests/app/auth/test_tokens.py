"""The text of keys: random, with a checksum that finds typing errors."""

import re

from app.auth import tokens


def test_key_has_its_id_a_long_secret_and_a_checksum() -> None:
    token = tokens.generate()
    assert re.fullmatch(rf"isth_{token.id}_[0-9A-Za-z]{{46}}", token.text)
    assert len(token.id) == 8
    assert tokens.generate().text != token.text


def test_id_is_read_from_whole_keys_only() -> None:
    token = tokens.generate()
    assert tokens.id_of(token.text) == token.id
    swapped = token.text[:-1] + ("a" if token.text[-1] != "a" else "b")
    for wrong in (swapped, token.text[:-1], token.text + "0", "isth_", "isth__", token.text.replace("_", "-", 2)[5:] and swapped):
        assert tokens.id_of(wrong) == ""


def test_other_secrets_belong_to_the_key_of_the_settings() -> None:
    assert tokens.id_of("f" * 64) == tokens.ADMIN_KEY_ID
