"""Prometheus counters and histograms without locks, for events that occur thousands of times per second.

Those of `prometheus_client` take a lock and a dozen calls per update, a large part of the time of a small prediction. These
use plain arithmetic and may only be updated by the thread of the event loop.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric


class Counter:
    """The number of events with one set of label values."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        self.value += amount


class HistogramChild:
    """The distribution of durations with one set of label values."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class CounterVec:
    """A counter with labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str], registry: CollectorRegistry = REGISTRY) -> None:
        self._name, self._help, self._labels = name, help, labels
        self._children: dict[tuple[str, ...], Counter] = {}
        registry.register(self)

    def labels(self, *values: object) -> Counter:
        """Return the child with these label values. Callers on a critical path keep it."""
        return self._children.setdefault(tuple(map(str, values)), Counter())

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for values, child in list(self._children.items()):
            family.add_metric(values, child.value)
        yield family


class HistogramVec:
    """A histogram of seconds with labels."""

    def __init__(
        self, name: str, help: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._name, self._help, self._labels, self._bounds = name, help, labels, bounds
        self._children: dict[tuple[str, ...], HistogramChild] = {}
        registry.register(self)

    def labels(self, *values: object) -> HistogramChild:
        """Return the child with these label values. Callers on a critical path keep it."""
        return self._children.setdefault(tuple(map(str, values)), HistogramChild(self._bounds))

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for values, child in list(self._children.items()):
            family.add_metric(values, _cumulative(child), sum_value=child.total)
        yield family


def _cumulative(child: HistogramChild) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    cumulative = 0
    for bound, count in zip([*map(float, child.bounds), float("inf")], child.counts, strict=True):
        cumulative += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), cumulative))
    return buckets
