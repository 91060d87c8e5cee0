"""The rule which network addresses webhooks may reach: by default public ones only.

Without it, a caller with a webhook could reach services that trust the network of this machine.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_ADVICE = "Set ISTHMUS_WEBHOOK_PRIVATE_ADDRESSES=true to allow such addresses."
_EMBEDDED = tuple(map(IPv6Network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")))
"""Networks whose addresses contain IPv4 addresses: compatible ones and those of NAT64."""


def literal_address(url: str) -> str | None:
    """Return the IP address of a URL, None for a name. The loopback name counts as its address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def refusal(address: str) -> str | None:
    """Return why a webhook may not connect to this address, None for a public one."""
    return None if is_public(address) else f"{address} is a private address. {_ADVICE}"


def refusal_of_name(host: str) -> str:
    """Return why a webhook may not connect to a name with private addresses. Callers must not learn which."""
    return f"{host} has private addresses only. {_ADVICE}"


def is_public(address: str) -> bool:
    """Return whether an address is global and unicast, also behind the forms in which IPv6 embeds IPv4."""
    ip: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if isinstance(ip, IPv6Address) and (ip.sixtofour or ip.teredo or ip.is_site_local or any(ip in net for net in _EMBEDDED)):
        return False
    return ip.is_global and not ip.is_multicast
