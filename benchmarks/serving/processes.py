"""Processes of a measured server: core, descendants and CPU time."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stat:
    """A line of /proc/PID/stat. `cpu_ticks` includes the time of children that were waited for."""

    pid: int
    parent: int
    session: int
    cpu_ticks: int
    resident_pages: int

    @classmethod
    def parse(cls, line: str) -> "Stat":
        """Parse a line. The process name may contain spaces and brackets."""
        pid, _, rest = line.partition(" ")
        fields = rest.rpartition(")")[2].split()
        return cls(int(pid), int(fields[1]), int(fields[3]), sum(map(int, fields[11:15])), int(fields[21]))


def tree(root: int, stats: list[Stat]) -> list[Stat]:
    """Return the process `root`, its session and all their descendants."""
    members = {stat.pid for stat in stats if stat.pid == root or stat.session == root}
    grown = True
    while grown:
        children = {stat.pid for stat in stats if stat.parent in members} - members
        members |= children
        grown = bool(children)
    return [stat for stat in stats if stat.pid in members]


def stats() -> Iterator[Stat]:
    """Yield the statistics of every visible process."""
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                yield Stat.parse((folder / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue


def cpu_seconds(root: int) -> float:
    """Return the user and system time of the tree so far."""
    return sum(stat.cpu_ticks for stat in tree(root, list(stats()))) / TICKS


def resident_bytes(root: int) -> int:
    return sum(stat.resident_pages for stat in tree(root, list(stats()))) * PAGE


def send(root: int, number: signal.Signals) -> None:
    """Send a signal to the whole tree."""
    for stat in tree(root, list(stats())):
        try:
            os.kill(stat.pid, number)
        except ProcessLookupError:
            continue
