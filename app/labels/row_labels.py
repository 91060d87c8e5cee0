"""Datasets of labels: rows of another dataset's file with the labels of a person.

Decision: such a dataset has the other one's file, and its profile lists rows and labels. Context: a file of each format would
need a writer of its own, and images would be encoded again. Consequences: training, evaluation and batch predictions read it as
any dataset. Alternatives: an export as files of the same format.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from app.modalities.base import Chunk, select_rows

KEY = "row_labels"
Use = Literal["measuring", "training"]


class RowLabels(BaseModel):
    """Rows, numbered from 1 in ascending order, and their labels. `file_labelled` is about the file itself."""

    model_config = ConfigDict(frozen=True)

    rows: list[int]
    labels: list[str]
    use: Use
    file_labelled: bool

    @classmethod
    def of(cls, profile: Mapping[str, Any]) -> Self | None:
        """Return the labels that the profile of a dataset lists, None for other datasets."""
        return cls.model_validate(profile[KEY]) if KEY in profile else None

    @property
    def positions(self) -> list[int]:
        """The positions of the rows, from 0."""
        return [row - 1 for row in self.rows]

    def apply(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield the rows with these labels."""
        start = 0
        for chunk in select_rows(chunks, self.positions):
            yield replace(chunk, labels=self.labels[start : start + chunk.rows])
            start += chunk.rows

    def show(self, examples: Iterable[Mapping[str, Any]], profile: Mapping[str, Any], start: int = 0) -> list[dict[str, Any]]:
        """Return examples of a preview with their labels, from the position `start` on."""
        column = profile.get("label") or "label"
        return [{**example, column: label} for example, label in zip(examples, self.labels[start:], strict=False)]
