"""200 requests that a page of another site makes a browser send: predictions, deletions and uploads with its origin."""

from benchmarks.resilience.browsers import send_from
from benchmarks.resilience.service import Target


def run(target: Target) -> str:
    return send_from(target, ({"Origin": "https://other.example"}, {"Sec-Fetch-Site": "cross-site"}), 200)
