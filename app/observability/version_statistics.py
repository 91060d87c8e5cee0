"""How often each version has predicted in this process, for Prometheus and for the statistics of the Open Inference Protocol.

The number of versions is bounded, since each one is a label: those beyond it share the label `other`.
"""

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, Metric

MAX_VERSIONS = 200
OTHER = ("other", "")


class VersionStatistics:
    """Requests and inputs of one version, and the time of its requests."""

    __slots__ = ("inputs", "requests", "seconds")

    def __init__(self) -> None:
        self.inputs = self.requests = 0
        self.seconds = 0.0

    def add(self, inputs: int, seconds: float) -> None:
        """Count one request."""
        self.inputs += inputs
        self.requests += 1
        self.seconds += seconds


class AllStatistics:
    """The statistics by model and version, as a Prometheus collector."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], VersionStatistics] = {}
        REGISTRY.register(self)

    def of(self, model: str, version: int) -> VersionStatistics:
        """Return the statistics of a version, to add a request to them."""
        key = (model, str(version))
        if key not in self._known and len(self._known) >= MAX_VERSIONS:
            key = OTHER
        return self._known.setdefault(key, VersionStatistics())

    def read(self, model: str, version: int) -> VersionStatistics:
        """Return the statistics of a version; empty ones if it has not predicted or has no label of its own."""
        return self._known.get((model, str(version)), VersionStatistics())

    def collect(self) -> Iterator[Metric]:
        """Yield the number of inputs for Prometheus."""
        family = CounterMetricFamily(
            "isthmus_version_inputs", "Inputs that each version has predicted.", labels=["model", "version"]
        )
        for key, statistics in list(self._known.items()):
            family.add_metric(key, statistics.inputs)
        yield family


STATISTICS = AllStatistics()
