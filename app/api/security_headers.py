"""Headers that restrict what a browser does with a response. Predictions of the fast path, always JSON, go without them."""

from starlette.datastructures import MutableHeaders

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
}


def add_security_headers(headers: MutableHeaders) -> None:
    """Add the headers that the response does not set itself."""
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
