"""Options for reading a table."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from app.formats.cells import NULL_WORDS, CellRules, Decimal, Thousands
from app.formats.dialects import Delimiter, Encoding, Layout
from app.formats.row_blocks import MAX_COLUMNS
from app.formats.validation import printable

Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], Field(max_length=MAX_COLUMNS)]


class TableOptions(BaseModel):
    """Given properties of a table. The rest is detected."""

    label: Name | None = Field(None, description="Column with the labels. Default: `label` if it exists.")
    categories: Names = Field((), description="Columns whose numbers are codes of categories.")
    texts: Names = Field((), description="Columns of texts whose words are learned.")
    ignore: Names = Field((), description="Columns that are not read.")
    learn: Names = Field((), description="Columns to learn although they seem to be row counters, identifiers or timestamps.")
    group: Name | None = Field(
        None, description="Column such as patient or machine. Its rows stay together when rows are held out; it is not learned."
    )
    domain: Name | None = Field(
        None,
        description="Column with the domain of each row, such as hospital, for a source of several domains; it is not learned.",
    )
    unlabelled: bool | tuple[Name, ...] = Field(
        False, description="True: the labels are not read. Or the labels that mean that a row has none, such as `-1`."
    )
    missing: tuple[str | float, ...] | None = Field(
        None,
        max_length=100,
        description="Cells that mean a missing value, beside empty ones. Default: words such as `NA`, and numbers such as -9999 "
        "that occur repeatedly and far from the others.",
    )
    decimal: Decimal | None = Field(None, description="Decimal mark of numbers in text. Default: detected for each column.")
    thousands: Thousands | None = Field(None, description="Thousands separator of numbers in text. Default: the usual ones.")
    delimiter: Delimiter | None = Field(None, description="Separator of the cells of a CSV file. Default: detected.")
    encoding: Encoding | None = Field(None, description="Encoding of a CSV file, such as `cp1252`. Default: detected.")
    header: bool | None = Field(
        None, description="Whether the first row has the names of the columns. Without names they are `column_1`, `column_2`, ..."
    )
    sheet: Name | None = Field(None, description="Sheet of a workbook. Default: the first one.")

    @model_validator(mode="after")
    def _have_one_use(self) -> Self:
        """Refuse columns with two uses, and one mark for decimals and thousands."""
        uses = [*self.categories, *self.texts, *self.ignore, *self.roles]
        twice = next((name for name in uses if uses.count(name) > 1), None) if len(set(uses)) < len(uses) else None
        if twice is not None:
            options = "`categories`, `texts`, `ignore`, `group` and `domain`"
            raise ValueError(f"column {printable(twice, 50)!r} is named twice in {options}")
        if self.label is not None and self.label in uses:
            raise ValueError(f"the label {printable(self.label, 50)!r} is named in another option as well")
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError("`decimal` and `thousands` are the same mark")
        return self

    @property
    def roles(self) -> dict[str, str]:
        """Return the roles of the columns that describe the rows and are not learned."""
        columns = {"group": self.group, "domain": self.domain}
        return {name: role for role, name in columns.items() if name is not None}

    @property
    def layout(self) -> Layout:
        return Layout(self.delimiter, self.encoding, self.header, self.sheet)

    @property
    def rules(self) -> CellRules:
        """Return how cells are read before decimal mark and unit of their column are detected."""
        words = NULL_WORDS if self.missing is None else tuple(str(word).strip().lower() for word in self.missing)
        decimal: Decimal = self.decimal or ("," if self.thousands == "." else ".")
        return CellRules(decimal, self.thousands, words=words)

    @property
    def sentinels(self) -> frozenset[float] | None:
        """Return the numbers that mean a missing value, None if they are detected."""
        if self.missing is None:
            return None
        return frozenset(number for value in self.missing if (number := _number(value)) is not None)


def _number(value: str | float) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
