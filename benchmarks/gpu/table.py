"""The rows of the check and their table."""

from collections.abc import Sequence
from dataclasses import dataclass

NEEDS_CUDA = "needs CUDA"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was done, what was measured, and whether the check passed; None for figures without a check."""

    name: str
    measured: str
    passed: bool | None = None

    @property
    def verdict(self) -> str:
        """Return the last cell."""
        return {True: "passed", False: "FAILED", None: ""}[self.passed]


def needs_cuda(name: str) -> Row:
    """Return the row of a check that only a GPU permits."""
    return Row(name, NEEDS_CUDA)


def render(rows: Sequence[Row]) -> str:
    """Return the table as Markdown."""
    cells = [("check", "measured", ""), *((row.name, row.measured, row.verdict) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
