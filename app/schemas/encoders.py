"""Requests and responses of encoders."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.db.encoder_tables import EncoderRow
from app.encoders.catalogue import SPEEDS, UPLOAD, Speed
from app.model_reference import NAME


class EncoderCreate(BaseModel):
    """The fields of an upload."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(pattern=f"^{NAME}$", max_length=100)
    licence: str = Field(min_length=1, max_length=200)
    speed: Speed = "balanced"


class EncoderOut(BaseModel):
    """A pretrained encoder: one that the service knows, or an uploaded one."""

    id: str = Field(description="Value of `pretrained` in `base` of a job.")
    modality: str
    speed: Speed
    megabytes: int = Field(description="Size of the weights, or of the uploaded file.")
    licence: str = Field(description="Licence of the weights, as far as known.")
    origin: str = Field(description="Package or repository with the weights, or `upload`.")
    is_installed: bool = Field(description="Whether this server has it. The workers need it too, unless it is an upload.")

    @classmethod
    def of(cls, row: EncoderRow) -> Self:
        """Build the response for an uploaded encoder."""
        return cls(
            id=f"{UPLOAD}{row.name}",
            modality=row.modality,
            speed=row.speed,
            megabytes=round(row.size_bytes / 1024**2),
            licence=row.licence,
            origin="upload",
            is_installed=True,
        )


ENCODER_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "name", "licence"],
                "additionalProperties": False,
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "Zip of the folder: `config.json`, `model.safetensors`, and the files of the tokenizer or "
                        "`preprocessor_config.json`.",
                    },
                    "name": {"type": "string", "pattern": f"^{NAME}$", "maxLength": 100},
                    "licence": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Licence of the weights."},
                    "speed": {"type": "string", "enum": list(SPEEDS), "default": "balanced"},
                },
            }
        }
    },
}
