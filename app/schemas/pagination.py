"""Pages of lists, newest first, by keyset on (created_at, id)."""

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list. Pass `next` as `?after=` to get the following page; it is null on the last one."""

    data: list[Item]
    next: str | None = Field(description="Cursor of the next page.")
