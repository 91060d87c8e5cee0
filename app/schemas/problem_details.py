"""RFC 9457 problem documents."""

from pydantic import BaseModel, Field


class ProblemPlace(BaseModel):
    """One bad field, row, column or file."""

    pointer: str = Field(description="Where: a JSON pointer into the request, or into the uploaded file (`/rows/7/age`).")
    detail: str


class Problem(BaseModel):
    """Every error of this service, `application/problem+json`."""

    type: str = Field("about:blank", description="`urn:isthmus:problem:<code>`")
    title: str
    status: int
    code: str = Field(description="Stable and machine-readable.")
    detail: str
    errors: list[ProblemPlace] = []
    request_id: str | None = None
