"""RFC 9457 problem documents."""

from pydantic import BaseModel, Field


class InvalidField(BaseModel):
    """An invalid field, row, column or file."""

    pointer: str = Field(description="JSON pointer into the request or the uploaded file (`/rows/7/age`).")
    detail: str


class Problem(BaseModel):
    """An error response of this service, `application/problem+json`."""

    type: str = Field("about:blank", description="`urn:isthmus:problem:<code>`")
    title: str
    status: int
    code: str = Field(description="Stable and machine-readable.")
    detail: str
    errors: list[InvalidField] = []
    request_id: str | None = None
