"""Entries of the catalog of algorithms and networks."""

from typing import Any

from pydantic import BaseModel, Field


class AlgorithmOut(BaseModel):
    """An algorithm for `params` of a job."""

    name: str
    summary: str
    paper: str | None
    needs_source: bool = Field(description="Whether a job needs a source dataset. Without one it starts from a version.")
    needs_target: bool = Field(description="Whether a job needs a target dataset.")
    parameters: dict[str, Any] = Field(description="JSON schema of `params` in `POST /jobs`.")


class NetworkOut(BaseModel):
    """A network for `base` of a job."""

    name: str
    summary: str
    modalities: list[str]
    default_for: list[str] = Field(description="Modalities for which this network is the default.")
    parameters: dict[str, Any] = Field(description="JSON schema of `base` in `POST /jobs`.")
