"""Rows that no table has."""

from dataclasses import dataclass

from app.db.tables import ModelRow, VersionRow


@dataclass(frozen=True, slots=True)
class ModelOverview:
    """A model with its newest version and the number of all of them. A model is made by its first version."""

    model: ModelRow
    newest: VersionRow
    count: int
