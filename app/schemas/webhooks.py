"""Requests and responses of webhooks."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, model_validator

from app.db.webhook_tables import DeliveryRow, WebhookRow

Event = Literal["job.finished", "version.registered", "alias.moved"]


MAX_URL_LENGTH = 2083


def _plain(url: HttpUrl) -> str:
    """Return the URL without a fragment; reject credentials, which would appear in lists."""
    if url.username or url.password:
        raise ValueError("must have no user name and no password; receivers verify the signature instead")
    text = str(url).partition("#")[0]
    if len(text) > MAX_URL_LENGTH:  # the normal form can be longer than what the caller sent
        raise ValueError(f"must have at most {MAX_URL_LENGTH} characters")
    return text


def _key(secret: str) -> str:
    try:
        size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except binascii.Error as error:
        raise ValueError("must be `whsec_` and base64") from error
    if not 24 <= size <= 64:
        raise ValueError(f"must hold 24 to 64 bytes, not {size}")
    return secret


Url = Annotated[HttpUrl, AfterValidator(_plain), Field(examples=["https://example.org/isthmus"])]
Events = Annotated[list[Event], Field(min_length=1, max_length=3)]
Secret = Annotated[
    str,
    AfterValidator(_key),
    Field(
        pattern=r"^whsec_[A-Za-z0-9+/]{32,86}={0,2}$",
        description="Key of the signatures by Standard Webhooks: `whsec_` and the base64 of 24 to 64 random bytes.",
        json_schema_extra={"writeOnly": True},
    ),
]


class WebhookCreate(BaseModel):
    """An address and the events to send to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Url
    events: Events
    secret: Secret | None = Field(None, description="By default a new one, which only this response shows.")


class WebhookChange(BaseModel):
    """The fields to change. A new secret signs all deliveries that are sent from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Url | None = None
    events: Events | None = None
    secret: Secret | None = None
    enabled: bool | None = Field(None, description="false: no events are written and none are sent.")

    @model_validator(mode="after")
    def _no_nulls(self) -> Self:
        nulls = [name for name in self.model_fields_set if getattr(self, name) is None]
        if nulls:
            raise ValueError(f"{', '.join(sorted(nulls))}: null is no value")
        return self

    def changes(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.model_fields_set}


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    url: str
    events: list[Event]
    enabled: bool
    state: Literal["ok", "failing", "disabled"] = Field(description="failing: the receiver has not accepted the last attempt.")
    failing_since: datetime | None = Field(description="First failed attempt after the last accepted delivery.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: WebhookRow, **fields: Any) -> Self:
        state = "disabled" if not row.enabled else "failing" if row.failing_since else "ok"
        names = WebhookOut.model_fields.keys() - {"state"}
        return cls(state=state, **{name: getattr(row, name) for name in names}, **fields)


class WebhookCreated(WebhookOut):
    """A new webhook with its secret, which is not shown again."""

    secret: str

    @classmethod
    def of(cls, row: WebhookRow, **fields: Any) -> Self:
        return super().of(row, secret=row.secret, **fields)


class DeliveryOut(BaseModel):
    """One event for one webhook."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = Field(description="The receiver gets it as `webhook-id`, the same one in every attempt.")
    event: str
    data: dict[str, Any] = Field(description="Ids, names and the path of the object.")
    status: Literal["pending", "delivered", "failed"] = Field(description="failed: not accepted within 72 hours.")
    attempts: int = Field(description="Since the event, or since the last request to deliver it again.")
    response_status: int | None = Field(description="HTTP status of the last attempt; null without a response.")
    error: str | None = Field(description="Why the last attempt failed.")
    next_attempt_at: datetime | None = Field(description="Null unless pending.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: DeliveryRow) -> "DeliveryOut":
        columns = {name: getattr(row, name) for name in cls.model_fields}
        return cls(**columns | {"next_attempt_at": row.next_attempt_at if row.status == "pending" else None})
