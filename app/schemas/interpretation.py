"""How a dataset was interpreted."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

REASONS = {
    "number": "Every value is a number.",
    "category": "The values are not numbers, or are codes with zeros in front.",
    "text": "The column is named in `options.texts`.",
    "empty": "There are no values.",
    "ignored": "The column is named in `options.ignore`, or has labels that are not read.",
    "group": "The column is named in `options.group`.",
    "domain": "The column is named in `options.domain`.",
    "index_column": "It is the index of a pandas table.",
    "row_counter": "It counts the rows.",
    "identifier": "It is different in almost every row.",
    "timestamp": "It contains dates or times.",
    "free_text": "It contains texts; `options.texts` lets a model learn them.",
}


class ColumnInterpretation(BaseModel):
    """One column of a table."""

    name: str
    kind: Literal["number", "category", "text", "empty"]
    learned: bool = Field(description="Whether models learn from the column.")
    reason: str = Field(description="Why the column has its kind, or why it is not learned.")
    missing: int = Field(description="Number of missing values.")
    minimum: float | None = None
    maximum: float | None = None
    levels: int | None = Field(None, description="Number of levels in the first rows, if there are at most 100.")
    decimal: str | None = Field(None, description="Decimal mark of numbers that were texts.")
    unit: str | None = Field(None, description="Unit behind every number.")
    missing_values: list[float] = Field([], description="Numbers that are read as missing.")

    @classmethod
    def of(cls, column: Mapping[str, Any]) -> "ColumnInterpretation":
        """Build it from the description in a profile."""
        low, high = column.get("range", (None, None))
        role, kind = column.get("role"), column["kind"]
        return cls(
            name=column["name"],
            kind=kind,
            learned=role is None and kind != "empty",
            reason=REASONS.get(role or kind, ""),
            missing=column["missing"],
            minimum=low,
            maximum=high,
            levels=len(column["levels"]) if "levels" in column else None,
            decimal=column.get("decimal"),
            unit=column.get("unit"),
            missing_values=column.get("sentinels", []),
        )


class Interpretation(BaseModel):
    """How a file is read. Null: it does not apply to the file."""

    delimiter: str | None = Field(None, description="Separator of the cells of a CSV file.")
    encoding: str | None = None
    header: bool | None = Field(None, description="Whether the first row has the names of the columns.")
    sheet: str | None = Field(None, description="Sheet of a workbook.")
    label: str | None = Field(None, description="Column with the labels.")
    columns: list[ColumnInterpretation] | None = Field(None, description="Columns of a table except the label.")
    value_type: str | None = Field(None, description="Type of the values of images.")
    value_range: tuple[float, float] | None = Field(None, description="Values of images that become 0 and 255.")

    @classmethod
    def of(cls, profile: Mapping[str, Any]) -> "Interpretation":
        """Build it from a profile."""
        values = profile.get("values", {})
        columns = profile.get("columns")
        return cls(
            **profile.get("layout", {}),
            label=profile.get("label"),
            columns=[ColumnInterpretation.of(column) for column in columns] if columns is not None else None,
            value_type=values.get("type"),
            value_range=values.get("range"),
        )
