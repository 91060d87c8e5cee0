"""Whether callers need a key: always, never, or depending on who can reach the server."""

from ipaddress import ip_address

from app.settings import Settings


def needs_keys(settings: Settings, host: str) -> bool:
    """Return whether a server that listens on `host` needs API keys.

    Mode `auto` needs them unless only this machine can reach the server. Allowed hosts or origins mean a proxy that others reach.
    """
    if settings.auth == "auto":
        return not is_loopback(host) or bool(settings.hosts or settings.origins)
    return settings.auth == "required"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
