"""Which hosts the server answers to, and which web pages may send requests.

Context: a browser sends requests of any web page to a server on its own machine. With DNS rebinding the page can also read the
responses, since its host name then has the address of the server. Decision: the Host header must be an IP address, localhost,
the host that the server listens on, or a host of the settings. A request from a page of another origin is refused. Consequences:
a server on loopback needs no configuration. Behind a proxy with a name, that name belongs into `ISTHMUS_HOSTS`.
"""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from app.errors import CrossSiteRequest, HostNotAllowed, InvalidHost, ServiceError

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?P<port>:[0-9]{0,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_MAX_ORIGIN_LENGTH = 300


class RequestSource(NamedTuple):
    """The headers of a request that name its server and the page that sent it."""

    hosts: tuple[bytes, ...]
    origin: bytes | None
    site: bytes | None
    is_navigation: bool
    needs_host: bool


def source_of(headers: Sequence[tuple[bytes, bytes]], method: str, http_version: str) -> RequestSource:
    """Return the source of a request, whose header names are in lower case."""
    fields = dict(headers)
    site = fields.get(b"sec-fetch-site")
    is_navigation = (
        site is not None
        and method in ("GET", "HEAD")
        and (fields.get(b"sec-fetch-mode"), fields.get(b"sec-fetch-dest")) == (b"navigate", b"document")
    )
    hosts = tuple(value for name, value in headers if name == b"host")
    return RequestSource(hosts, fields.get(b"origin"), site, is_navigation, http_version not in ("1.0", "0.9"))


class OriginPolicy:
    """The hosts and origins that are allowed. `bound_host` is the name or address that the server listens on."""

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = (), bound_host: str = "") -> None:
        self._hosts = ["localhost", *(host.lower() for host in (*hosts, bound_host) if host)]
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._cached_error = lru_cache(1024)(self._error)

    def check(self, source: RequestSource) -> ServiceError | None:
        """Return the error of a request that has to be refused."""
        is_short = len(source.hosts) <= 1 and len(source.hosts[0] if source.hosts else b"") <= _MAX_ORIGIN_LENGTH
        if not is_short:
            return InvalidHost()
        if len(source.origin or b"") > _MAX_ORIGIN_LENGTH or len(source.site or b"") > _MAX_ORIGIN_LENGTH:
            return CrossSiteRequest()
        error = self._cached_error(source)
        return error[0](error[1]) if error is not None else None

    def _error(self, source: RequestSource) -> tuple[type[ServiceError], str | None] | None:
        if not source.hosts and not source.needs_host:
            return self._origin_error(source, "")
        host = source.hosts[0].decode("latin-1").lower() if source.hosts else ""
        match = _HOST.fullmatch(host)
        if match is None:
            return InvalidHost, None
        if not self._is_allowed_host(match["name"].removesuffix(".")):
            message = f"The server does not answer requests to {match['name']}. Use its IP address, or add it to ISTHMUS_HOSTS."
            return HostNotAllowed, message
        return self._origin_error(source, host)

    def _is_allowed_host(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._hosts) or _is_address(name.strip("[]"))

    def _origin_error(self, source: RequestSource, host: str) -> tuple[type[ServiceError], str | None] | None:
        origin = source.origin.decode("latin-1").lower() if source.origin is not None else None
        if origin is not None and origin in self._origins:
            return None
        if origin is not None and not _is_same_origin(origin, host):
            return CrossSiteRequest, None
        is_cross_site = source.site is not None and source.site.lower() == b"cross-site"
        # following a link to this server is harmless: the page that has the link cannot read the response
        return (CrossSiteRequest, None) if is_cross_site and not source.is_navigation else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_origin(origin: str, host: str) -> bool:
    """Return whether an origin has this host and port. A proxy may have changed the scheme."""
    scheme, _, authority = origin.partition("://")
    default = _DEFAULT_PORTS.get(scheme, "")
    return bool(default) and authority.removesuffix(default) == host.removesuffix(default)
