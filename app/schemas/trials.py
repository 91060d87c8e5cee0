"""The specification of a trial, in the `params` of its job."""

from typing import Any

from pydantic import BaseModel


class TrialSpec(BaseModel):
    """One trial. Its data, network and seed are those of the search.

    `start` is the storage key of the weights that training starts from. `steps` is the number of steps; None uses the parameters.
    """

    name: str
    params: dict[str, Any]
    steps: int | None = None
    start: str | None = None
