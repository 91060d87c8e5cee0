"""Parameters that all networks share."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

PlainKind = Literal["linear", "aligned", "trees"]
"""A kind of model that scikit-learn fits in seconds. `aligned` is linear, with a map of the source's columns."""


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Input sizes that a network fixes; None where the modality's default applies."""

    image_side: int | None = None
    tokens: int | None = None


class NetworkParams(BaseModel):
    """Parameters of a network. A subclass's docstring is its summary in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: ClassVar[tuple[str, ...]]
    default_for: ClassVar[tuple[str, ...]] = ()
    pretrained_for: ClassVar[tuple[str, ...]] = ()
    """Modalities whose jobs use this network if they only name a checkpoint; it has a field `pretrained`."""
    has_batch_norm: ClassVar[bool | None] = None
    """None: it depends on the checkpoint."""
    has_gradients: ClassVar[bool] = True
    """False: no weights that gradient steps can train."""
    manifest_only_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of manifests that requests may not set; they are not in the JSON schema."""

    network: str

    @property
    def is_frozen(self) -> bool:
        """Return whether the backbone never changes, so that its features are computed once."""
        return False

    def input_limits(self) -> InputLimits:
        """Return the input sizes to which a modality fits its preprocessing."""
        return InputLimits()

    @classmethod
    def catalogue_entry(cls) -> dict[str, Any]:
        """Return the name, summary, modalities and JSON schema that `GET /networks` lists."""
        return {
            "name": cls.model_fields["network"].default,
            "summary": (cls.__doc__ or "").strip(),
            "modalities": cls.modalities,
            "default_for": cls.default_for,
            "parameters": cls.model_json_schema(),
        }
