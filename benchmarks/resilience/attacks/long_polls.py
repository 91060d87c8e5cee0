"""1,000 long polls of a running job at once."""

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Target
from tests.support.many_clients import send_at_once


def run(target: Target) -> str:
    polls = [("GET", f"/jobs/{target.job_id}?wait=10", b"")] * 1000
    return counted(answer.status for answer in send_at_once(target.url, polls))
