"""Who needs a key: loopback addresses need none, unless the settings say so."""

import pytest

from app.auth.modes import needs_keys
from app.settings import Settings

LOOPBACK = ["127.0.0.1", "127.8.9.1", "::1", "localhost"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_addresses_need_no_keys(host: str, settings: Settings) -> None:
    assert not needs_keys(settings, host)
    assert needs_keys(settings.model_copy(update={"auth": "required"}), host)


def test_names_for_a_proxy_need_keys(settings: Settings) -> None:
    assert needs_keys(settings.model_copy(update={"hosts": ("isthmus.example",)}), "127.0.0.1")
    assert needs_keys(settings.model_copy(update={"origins": ("https://app.example",)}), "127.0.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "isthmus.example"])
def test_other_addresses_need_keys_unless_they_are_off(host: str, settings: Settings) -> None:
    assert needs_keys(settings, host)
    assert not needs_keys(settings.model_copy(update={"auth": "off"}), host)


def test_short_admin_key_is_refused() -> None:
    assert Settings(admin_key="f" * 32, _env_file=None).admin_key is not None
    assert Settings(admin_key="", _env_file=None).admin_key is None
    with pytest.raises(ValueError, match="at least 32"):
        Settings(admin_key="secret", _env_file=None)
