"""Modality, format and options of an upload, from its form, its file name and its content."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import FieldError, InvalidRequest
from app.formats import tables
from app.formats.validation import pointer, printable
from app.modalities import MODALITIES
from app.modalities.base import DatasetOptions, Modality
from app.schemas.datasets import DatasetCreate


@dataclass(frozen=True, slots=True)
class DetectedFormat:
    """The modality that reads an upload, with its format and options."""

    modality: Modality
    format: str
    options: DatasetOptions


def parse_form(fields: Mapping[str, str]) -> DatasetCreate:
    """Return the validated fields of an upload form. Raise InvalidRequest."""
    values: dict[str, Any] = {name: value for name, value in fields.items() if name == "name" or value}
    try:
        values["options"] = json.loads(fields.get("options") or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The options are not JSON.", [FieldError("/options", printable(str(error)))]) from error
    try:
        return DatasetCreate.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from error


def detect_format(path: Path, filename: str, form: DatasetCreate) -> DetectedFormat:
    """Return the one modality that can read the upload.

    Raise InvalidRequest if no modality or several can, and InvalidDataset if the file is corrupt.
    """
    by_suffix = _with_suffix(tables.content_suffix(path, filename) or filename, _allowed(form.modality))
    candidates = [DetectedFormat(modality, format, _options(modality, form)) for modality, format in _supporting(by_suffix, form)]
    if len(candidates) == 1:
        return candidates[0]
    readers = [one for one in candidates if one.modality.can_read(path, one.format, one.options)]
    if len(readers) != 1:
        raise _undecided(readers, candidates)
    return readers[0]


def _allowed(modality: str | None) -> list[Modality]:
    if modality is not None and modality not in MODALITIES:
        detail = f"expected one of {', '.join(MODALITIES)}"
        raise InvalidRequest(f"Unknown modality: {detail}.", [FieldError("/modality", detail)])
    return [MODALITIES[modality]] if modality else list(MODALITIES.values())


def _with_suffix(filename: str, modalities: Sequence[Modality]) -> list[tuple[Modality, str]]:
    matches = [(modality, format) for modality in modalities if (format := _format(filename, modality))]
    if matches:
        return matches
    accepted = "; ".join(f"{modality.name}: {', '.join(modality.suffixes)}" for modality in modalities)
    detail = f"the name {printable(filename)!r} does not end in a known format ({accepted})"
    raise InvalidRequest(f"Unknown format: {detail}.", [FieldError("/file", detail)])


def _format(filename: str, modality: Modality) -> str | None:
    suffixes = [suffix for suffix in modality.suffixes if filename.lower().endswith(suffix)]
    return modality.suffixes[max(suffixes, key=len)] if suffixes else None


def _supporting(candidates: list[tuple[Modality, str]], form: DatasetCreate) -> list[tuple[Modality, str]]:
    """Return the candidates that have all options of the form, or the first one to report the unknown option."""
    supporting = [one for one in candidates if form.options.keys() <= one[0].options.model_fields.keys()]
    return supporting or candidates[:1]


def _options(modality: Modality, form: DatasetCreate) -> DatasetOptions:
    try:
        return modality.options.model_validate(form.options)
    except ValidationError as error:
        raise _invalid(error, "options") from error


def _undecided(readers: Sequence[DetectedFormat], candidates: Sequence[DetectedFormat]) -> InvalidRequest:
    names = " or ".join(one.modality.name for one in readers or candidates)
    reason = "The file can be read as" if readers else "The file does not look like"
    return InvalidRequest(f"{reason} {names}: name its `modality`.", [FieldError("/modality", f"name it: {names}")])


def _invalid(error: ValidationError, *prefix: str) -> InvalidRequest:
    errors = [FieldError(pointer(*prefix, *one["loc"]), one["msg"]) for one in error.errors(include_context=False)]
    return InvalidRequest(errors=errors)
