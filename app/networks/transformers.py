"""Pretrained encoders that the `transformers` library loads."""

from typing import Any, ClassVar, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from app.networks.base import InputLimits, NetworkParams


class TransformersParams(NetworkParams):
    """A pretrained text or image encoder from the Hub or a local directory, with its own tokenizer or image preprocessing."""

    modalities: ClassVar[tuple[str, ...]] = ("text", "image")
    pretrained_for: ClassVar[tuple[str, ...]] = modalities
    manifest_only_fields: ClassVar[frozenset[str]] = frozenset({"config"})

    network: Literal["transformers"] = "transformers"
    pretrained: str = Field(
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00]*$",
        description="Id of `GET /encoders`, or a Hub id or directory on the worker that the service allows; only safetensors.",
    )
    frozen: bool = Field(
        False,
        description="Keep the encoder's weights and compute its features once: training takes seconds, also on CPUs.",
    )
    head: Literal["bottleneck", "linear", "aligned"] = Field(
        "bottleneck",
        description="Layers on a frozen encoder. linear: standardised features and one linear layer. aligned: the same, with a "
        "map of the source's features as in `coral`.",
    )
    max_length: int = Field(128, ge=8, le=4096, description="Maximum number of tokens; longer texts are truncated.")
    config: SkipJsonSchema[dict[str, Any] | None] = Field(
        None,
        description="Configuration of the encoder, stored in the manifest. If set, weights are random, not from a checkpoint.",
    )

    @property
    def is_frozen(self) -> bool:
        return self.frozen

    def input_limits(self) -> InputLimits:
        return InputLimits(tokens=self.max_length)
