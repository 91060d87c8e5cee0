"""What an upload is: its modality, format and options, from what the caller said, its name and its content."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.errors import FieldError, InvalidRequest
from app.formats.parquet_sandbox import check_in_sandbox
from app.formats.validation import pointer, printable
from app.modalities import MODALITIES
from app.modalities.base import DatasetOptions, Modality
from app.schemas.datasets import DatasetCreate
from app.services.multipart_uploads import Upload


@dataclass(frozen=True, slots=True)
class DetectedFormat:
    """How an upload is to be read."""

    modality: Modality
    format: str
    options: DatasetOptions


def parse_form(fields: Mapping[str, str]) -> DatasetCreate:
    """The fields of an upload form. Raises InvalidRequest."""
    values: dict[str, Any] = {name: value for name, value in fields.items() if name == "name" or value}
    try:
        values["options"] = json.loads(fields.get("options") or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The options are not JSON.", [FieldError("/options", printable(str(error)))]) from error
    try:
        return DatasetCreate.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from error


def detect_format(upload: Upload, form: DatasetCreate) -> DetectedFormat:
    """Raises InvalidRequest when nothing or more than one thing fits, InvalidDataset when the file cannot be read."""
    if form.modality is not None and form.modality not in MODALITIES:
        detail = f"expected one of {', '.join(MODALITIES)}"
        raise InvalidRequest(f"Unknown modality: {detail}.", [FieldError("/modality", detail)])
    wanted = [MODALITIES[form.modality]] if form.modality else list(MODALITIES.values())
    by_name = [(modality, format) for modality in wanted if (format := _format(upload.filename, modality))]
    if not by_name:
        raise _unknown_suffix(upload.filename, wanted)
    for format in {format for _, format in by_name}:
        check_in_sandbox(upload.path, format)
    fitting = [DetectedFormat(modality, format, _options(modality, form)) for modality, format in _supporting(by_name, form)]
    if len(fitting) > 1:
        fitting = [one for one in fitting if one.modality.can_read(upload.path, one.format, one.options)]
    if len(fitting) != 1:
        names = " or ".join(modality.name for modality, _ in by_name)
        raise InvalidRequest(f"This can be {names}: say which.", [FieldError("/modality", f"say which: {names}")])
    return fitting[0]


def _format(filename: str, modality: Modality) -> str | None:
    endings = [suffix for suffix in modality.suffixes if filename.lower().endswith(suffix)]
    return modality.suffixes[max(endings, key=len)] if endings else None


def _supporting(candidates: list[tuple[Modality, str]], form: DatasetCreate) -> list[tuple[Modality, str]]:
    """Those that know all the options; all of them when none does, so that the first can say what is wrong."""
    knowing = [one for one in candidates if form.options.keys() <= one[0].options.model_fields.keys()]
    return knowing or candidates[:1]


def _options(modality: Modality, form: DatasetCreate) -> DatasetOptions:
    try:
        return modality.options.model_validate(form.options)
    except ValidationError as error:
        raise _invalid(error, "options") from error


def _unknown_suffix(filename: str, wanted: list[Modality]) -> InvalidRequest:
    endings = "; ".join(f"{modality.name}: {', '.join(modality.suffixes)}" for modality in wanted)
    detail = f"the name {printable(filename)!r} does not end in a known format ({endings})"
    return InvalidRequest(f"Unknown format: {detail}.", [FieldError("/file", detail)])


def _invalid(error: ValidationError, *prefix: str) -> InvalidRequest:
    places = [FieldError(pointer(*prefix, *place["loc"]), place["msg"]) for place in error.errors(include_context=False)]
    return InvalidRequest(errors=places)
