import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.serving.dialects import Request
from benchmarks.serving.load import LoadError, parse, wrk

OUTPUT = """\
Running 2s test @ http://127.0.0.1:8000/
  1 threads and 8 connections
wrk-result {"requests": 500, "duration": 2000000, "p50": 1500, "p99": 9250, \
"errors": {"connect": 1, "read": 0, "write": 0, "status": 3, "timeout": 0}}
"""


class Echo(BaseHTTPRequestHandler):
    """Answers 200 to a body of bytes that are all the same, 400 to any other."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if len(set(body)) == 1 else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_last_line_of_wrk_has_rates_latencies_and_failures() -> None:
    load = parse(OUTPUT)
    assert (load.rate, load.p50_ms, load.p99_ms, load.failed) == (250, 1.5, 9.25, 4)


def test_output_without_a_result_raises() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_requests_are_sent_whole_and_in_turn(port: int) -> None:
    load = wrk(port, [Request("/", b"\0\0\0"), Request("/", b"\n\0")], connections=1, seconds=1, core=0)
    assert load.requests > 10
    assert abs(load.failed - load.requests / 2) <= 1
