"""200 requests with the host name of another site, which resolves to this machine."""

from benchmarks.resilience.browsers import send_from
from benchmarks.resilience.service import Target


def run(target: Target) -> str:
    return send_from(target, ({"Host": "rebound.example"}, {"Host": f"rebound.example:{target.port}"}), 200)
