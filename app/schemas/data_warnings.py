"""Warnings in responses."""

from pydantic import BaseModel, ConfigDict, Field


class DataWarningOut(BaseModel):
    """What was accepted, but may not mean what its sender expects."""

    model_config = ConfigDict(from_attributes=True)

    code: str = Field(examples=["unknown_level"])
    message: str = Field(description="What was found, what happens to it, and what to do.")
    location: str = Field(description="JSON pointer to the input or the column.")
    examples: list[str] = Field(description="Up to five of the values.")
