"""Requests that a browser sends for a page of another site."""

import json
from collections.abc import Mapping, Sequence
from uuid import uuid4

import httpx

from benchmarks.resilience.outcomes import counted
from benchmarks.resilience.service import MODEL, Target


def send_from(target: Target, sites: Sequence[Mapping[str, str]], count: int) -> str:
    """Send requests with the headers of each site in turn; return their statuses."""
    prediction = json.dumps({"model": MODEL, "inputs": [{"age": 30, "sex": "f"}]}).encode()
    as_json = {"Content-Type": "application/json"}
    requests: Sequence[tuple[str, str, bytes, Mapping[str, str]]] = (
        ("POST", "/predict", prediction, as_json),
        ("POST", f"/v2/models/{MODEL}/infer", prediction, as_json),
        ("DELETE", f"/datasets/{uuid4()}", b"", {}),
        ("POST", "/datasets", b"x", {"Content-Type": "multipart/form-data; boundary=edge"}),
        ("GET", "/jobs", b"", {}),
    )
    statuses = []
    with httpx.Client(base_url=target.url, timeout=60) as client:
        for number in range(count):
            method, path, body, headers = requests[number % len(requests)]
            site = sites[number // len(requests) % len(sites)]
            statuses.append(client.request(method, path, content=body, headers={**headers, **site}).status_code)
    return counted(statuses)
