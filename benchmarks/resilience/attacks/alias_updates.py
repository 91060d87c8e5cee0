"""500 changes of one alias at once."""

import json

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import MODEL, Target
from tests.support.many_clients import send_at_once


def run(target: Target) -> str:
    bodies = [json.dumps({"version": 1 + number % 2}).encode() for number in range(500)]
    moves = [("PUT", f"/models/{MODEL}/aliases/candidate", body) for body in bodies]
    return counted(answer.status for answer in send_at_once(target.url, moves))
