"""200 requests that a page of another site would send: a foreign host name, a foreign origin."""

import httpx

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import Target

HEADERS = ({"Host": "rebound.example"}, {"Origin": "https://other.example"}, {"Sec-Fetch-Site": "cross-site"})


def run(target: Target) -> str:
    with httpx.Client(base_url=target.url, timeout=60) as client:
        return counted(client.post("/predict", json={}, headers=HEADERS[number % 3]).status_code for number in range(200))
