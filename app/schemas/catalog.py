"""Entries of the catalog of algorithms and networks."""

from typing import Any

from pydantic import BaseModel, Field


class AlgorithmOut(BaseModel):
    """One algorithm that a job can run."""

    name: str
    summary: str
    paper: str | None
    needs_source: bool = Field(description="Whether a job must name a source dataset; without one it starts from a version.")
    needs_target: bool = Field(description="Whether a job must name a target dataset.")
    parameters: dict[str, Any] = Field(description="JSON schema of `params` in `POST /jobs`.")


class NetworkOut(BaseModel):
    """One network that a job can start from."""

    name: str
    summary: str
    modalities: list[str]
    default_for: list[str] = Field(description="Modalities whose jobs get this network when they name none.")
    parameters: dict[str, Any] = Field(description="JSON schema of `base` in `POST /jobs`.")
