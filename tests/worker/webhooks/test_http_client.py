"""The request to a receiver: allowed addresses, one deadline, checked certificates."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpcore
import pytest

from app.services.webhook_addresses import is_public
from worker.webhooks.http_client import AddressRefusedError, post


@contextmanager
def server(respond: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Accept one connection and handle it in a thread; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def accept() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) if context else connection as stream:
                    respond(stream)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def accept_event(stream: socket.socket) -> None:
    received = b""
    while not received.endswith(b"{}"):
        received += stream.recv(65536)
    stream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_global_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "fec0::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_other_addresses_are_private(address: str) -> None:
    assert not is_public(address)


def test_name_is_resolved_once_and_only_its_public_addresses_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, asked = socket.getaddrinfo, []

    def resolver(host: str, port: int, **options: object) -> object:
        asked.append(host)
        return resolve("127.0.0.1", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr("worker.webhooks.http_client.socket.getaddrinfo", resolver)
    with pytest.raises(AddressRefusedError, match=r"rebound\.example has private addresses only"):
        post("http://rebound.example/", b"", {}, private_addresses=False)
    assert asked == ["rebound.example"]


def test_slow_response_ends_at_the_deadline() -> None:
    def drip(stream: socket.socket) -> None:
        with suppress(OSError):
            for byte in b"HTTP/1.1 204 No Content\r\nx: " + b"y" * 1000:
                stream.sendall(bytes([byte]))
                time.sleep(0.05)

    began = time.monotonic()
    with server(drip) as port, pytest.raises(httpcore.TimeoutException):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, private_addresses=True, seconds=0.5)
    assert time.monotonic() - began < 3


def test_endless_response_body_is_not_read() -> None:
    def flood(stream: socket.socket) -> None:
        stream.recv(65536)
        with suppress(OSError):
            stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                stream.sendall(b"x" * 65536)

    with server(flood) as port:
        assert post(f"http://127.0.0.1:{port}/", b"{}", {}, private_addresses=True) == 200


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_certificate_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with server(accept_event, context) as port, pytest.raises(httpcore.ConnectError):
        post(f"https://localhost:{port}/", b"{}", {}, private_addresses=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with server(accept_event, context) as port:
        assert post(f"https://localhost:{port}/", b"{}", {}, private_addresses=True) == 204
    with server(accept_event, context) as port, pytest.raises(httpcore.ConnectError):
        post(f"https://127.0.0.1:{port}/", b"{}", {}, private_addresses=True)
