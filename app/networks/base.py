"""What a caller may say to every network."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class NetworkParams(BaseModel):
    """A kind of network. Fields and class variables are what the modalities read to fit their preprocessing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: ClassVar[tuple[str, ...]]
    default_for: ClassVar[tuple[str, ...]] = ()
    pretrained_for: ClassVar[tuple[str, ...]] = ()
    """Modalities whose jobs get this network when they name a checkpoint alone; it has a field `pretrained`."""
    manifest_only_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that manifests of versions have and callers may not name; they are not in the JSON schema."""

    network: str

    @classmethod
    def catalogue_entry(cls) -> dict[str, Any]:
        """Name, summary, modalities and JSON schema: what `GET /networks` lists."""
        return {
            "name": cls.model_fields["network"].default,
            "summary": (cls.__doc__ or "").strip(),
            "modalities": cls.modalities,
            "default_for": cls.default_for,
            "parameters": cls.model_json_schema(),
        }
