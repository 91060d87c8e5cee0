"""500 event streams of a running job at once, until each has sent its first event."""

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Target
from tests.support.many_clients import send_at_once


def run(target: Target) -> str:
    streams = [("GET", f"/jobs/{target.job_id}/events", b"")] * 500
    return counted(answer.status for answer in send_at_once(target.url, streams))
