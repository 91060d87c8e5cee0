"""Request and response schemas of API keys and of the audit log."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.auth.keys import KeyRights
from app.auth.scopes import SCOPES
from app.db.tables import ApiKeyRow
from app.model_reference import DEFAULT_PROJECT, NAME

MODEL_PATTERN = r"^[A-Za-z0-9._*-]{1,100}$"


def known_scope(scope: str) -> str:
    """Return a scope. Raise ValueError if there is no such scope."""
    if scope not in SCOPES:
        raise ValueError(f"there is no scope {scope[:100]!r}, only {', '.join(SCOPES)}")
    return scope


Scope = Annotated[str, AfterValidator(known_scope)]
ModelPattern = Annotated[str, Field(pattern=MODEL_PATTERN, examples=["digits*"])]
Project = Annotated[str, Field(pattern=f"^{NAME}$", description="The project in which the key works.")]


class KeyCreate(BaseModel):
    """What a new key allows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="Who or what uses the key.")
    scopes: list[Scope] = Field(min_length=1, max_length=len(SCOPES), examples=[["predict", "models:read"]])
    project: Project = DEFAULT_PROJECT
    models: list[ModelPattern] | None = Field(
        None, min_length=1, max_length=100, description="Patterns of the models that the key may use. Default: all models."
    )
    expires_at: AwareDatetime | None = Field(None, description="Default: the key does not expire.")

    def rights(self) -> KeyRights:
        """Return the same for the service."""
        return KeyRights(self.name, self.scopes, self.project, self.models, self.expires_at)


class KeyOut(BaseModel):
    """An API key without its secret."""

    id: str
    name: str
    project: str
    scopes: list[str]
    models: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Accurate to a minute.")

    @classmethod
    def of(cls, row: ApiKeyRow) -> "KeyOut":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class KeyCreated(KeyOut):
    """A new API key with its secret, which is shown only once."""

    key: str = Field(description="Send it as `Authorization: Bearer KEY`. It cannot be read again.")

    @classmethod
    def with_text(cls, row: ApiKeyRow, text: str) -> "KeyCreated":
        return cls(**KeyOut.of(row).model_dump(), key=text)


class AuditEntry(BaseModel):
    """Who changed or downloaded what, or was refused."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    key_id: str = Field(description="`local` without keys; empty for a request without a valid key.")
    project: str
    action: str = Field(examples=["alias.set"])
    object: str = Field(examples=["models/digits/aliases/production version 3"])
    outcome: str = Field(examples=["succeeded"])
    request_id: str | None
    address: str | None
