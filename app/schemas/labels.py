"""Names, descriptions and tags: texts of users that may be shown anywhere, so they contain nothing invisible."""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.model_reference import NAME

_INVISIBLE = {"Zl", "Zp"}


def _visible(text: str, allowed: str = "") -> str:
    """Return the text. Raise ValueError for control and formatting characters, such as line breaks and direction overrides."""
    for char in text:
        category = unicodedata.category(char)
        if char not in allowed and (category.startswith("C") or category in _INVISIBLE):
            raise ValueError(f"contains the character U+{ord(char):04X}, which is not visible; remove it")
    return text


def _visible_lines(text: str) -> str:
    return _visible(text, "\n\t")


def _distinct(tags: list[str]) -> list[str]:
    return sorted(set(tags))


Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_visible)]
Description = Annotated[str, Field(max_length=2000), AfterValidator(_visible_lines)]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_visible)]],
    Field(max_length=32),
    AfterValidator(_distinct),
]


class LabelsChange(BaseModel):
    """New description and tags. A field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    description: Description = Field(default_factory=str)
    tags: Tags = Field(default_factory=list, description="Sorted, without repetitions.")

    def values(self) -> dict[str, Any]:
        """Return the fields that the request has."""
        return self.model_dump(exclude_unset=True)


class DatasetChange(LabelsChange):
    """New name, description and tags of a dataset."""

    name: Label = Field(default_factory=str)


class ModelChange(LabelsChange):
    """New name, description and tags of a model. References to the old name stop working."""

    name: str = Field(default_factory=str, pattern=f"^{NAME}$")
