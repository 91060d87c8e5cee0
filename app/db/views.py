"""Results of queries that are not rows of one table."""

from dataclasses import dataclass

from app.db.tables import ModelRow, VersionRow


@dataclass(frozen=True, slots=True)
class ModelOverview:
    """A model with its newest version and the number of its versions. Its first version creates a model."""

    model: ModelRow
    newest: VersionRow
    count: int
