"""The phases of a job, from its times and its log."""

from datetime import datetime
from typing import Any

import httpx

MARK = "phase: "


def phases(http: httpx.Client, kind: str, job: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each phase of an ended job in order; `kind` is the path of its type, such as `jobs`."""
    answer = http.get(f"/{kind}/{job['id']}/logs")
    answer.raise_for_status()
    return between(job, answer.json()["lines"])


def between(job: dict[str, Any], lines: list[str]) -> dict[str, float]:
    """Return the seconds between the starts of the phases. Trials of a search are one phase."""
    starts = [("queue", _time(job["created_at"])), ("start", _time(job["started_at"]))]
    for line in lines:
        time, _, text = line.partition(" ")
        if text.startswith(MARK):
            starts.append((_name(text.removeprefix(MARK)), _time(time)))
    ends = [time for _, time in starts[1:]] + [_time(job["finished_at"])]
    seconds: dict[str, float] = {}
    for (name, start), end in zip(starts, ends, strict=True):
        seconds[name] = seconds.get(name, 0.0) + max(0.0, (end - start).total_seconds())
    return seconds


def _name(phase: str) -> str:
    return "trials" if phase.startswith("trial ") else phase


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
