"""What a search asks of another worker: one trial, in the `params` of a job of its own."""

from typing import Any

from pydantic import BaseModel


class TrialSpec(BaseModel):
    """One trial. Its data, network and seed are those of the search.

    `start` is the storage key of the weights that the method takes over, `steps` how many there are: None, as its parameters say.
    """

    name: str
    params: dict[str, Any]
    steps: int | None = None
    start: str | None = None
