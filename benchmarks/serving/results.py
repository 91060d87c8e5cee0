"""Measurements, one per line of a file, so that an interrupted run can continue."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HELLO, ALONE = "hello", "model"


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of request."""

    subject: str
    samples: int
    format: str
    connections: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The cost of one round of one cell for one server. CPU time is of the whole process tree, per request."""

    server: str
    cell: Cell
    round: int
    cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Measured":
        return cls(**{**fields, "cell": Cell(**fields["cell"])})


class Results:
    """The measurements, and the findings of the other cases by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.measured: list[Measured] = []
        self.findings: dict[str, dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            self._take(json.loads(line))

    def has(self, server: str, cell: Cell, number: int) -> bool:
        return any((one.server, one.cell, one.round) == (server, cell, number) for one in self.measured)

    def add(self, measured: Measured) -> None:
        self._write({"measured": asdict(measured)})

    def find(self, name: str, finding: dict[str, Any]) -> None:
        self._write({"finding": finding, "name": name})

    def _write(self, record: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        if "measured" in record:
            self.measured.append(Measured.of(record["measured"]))
        else:
            self.findings[record["name"]] = record["finding"]
