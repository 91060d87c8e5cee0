"""500 lists of models at once."""

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Target
from tests.support.many_clients import send_at_once


def run(target: Target) -> str:
    return counted(answer.status for answer in send_at_once(target.url, [("GET", "/models?limit=1", b"")] * 500))
