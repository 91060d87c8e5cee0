"""Lists: newest first, keyset on (created_at, id)."""

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """`next` goes into `?after=` for the following page; null on the last one."""

    data: list[Item]
    next: str | None = Field(description="Cursor of the next page.")
