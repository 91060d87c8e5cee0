"""Parts of a job's progress."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgressSpan:
    """A part of a job's progress; the whole job goes from 0 to 1."""

    start: float = 0.0
    end: float = 1.0

    def at(self, fraction: float) -> float:
        """Return the job's progress when this fraction of the span is done."""
        return self.start + fraction * (self.end - self.start)

    def sub(self, index: int, count: int) -> "ProgressSpan":
        """Return one of `count` equal parts, numbered from 0."""
        return ProgressSpan(self.at(index / count), self.at((index + 1) / count))

    def split(self, fraction: float) -> tuple["ProgressSpan", "ProgressSpan"]:
        """Return the parts before and after this fraction."""
        middle = self.at(fraction)
        return ProgressSpan(self.start, middle), ProgressSpan(middle, self.end)
