"""Usage of the storage."""

from pydantic import BaseModel, ConfigDict, Field


class UsageOut(BaseModel):
    """Number and size of the objects of one kind, or of the versions of one model."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    count: int
    size_bytes: int


class UnreferencedOut(BaseModel):
    """Files that no dataset, version, output or unfinished job refers to, and that are older than a day."""

    count: int
    size_bytes: int
    keys: list[str] = Field(description="The first ones. `isthmus storage --prune` deletes all.")


class StorageOut(BaseModel):
    """What is stored."""

    totals: list[UsageOut] = Field(description="All `datasets`, `versions` and `outputs` of batch predictions.")
    models: list[UsageOut] = Field(description="The largest models, with the number of their versions.")
    datasets: list[UsageOut] = Field(description="The largest datasets.")
    pending_deletions: int = Field(description="Deleted files that are not removed yet; the sweep removes them.")
    unreferenced: UnreferencedOut | None = Field(description="Only with `scan=true`.")
