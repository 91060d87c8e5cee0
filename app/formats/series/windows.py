"""Cutting of recordings into examples: windows of equal length, or one example for each recording."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from app.errors import FieldError, InvalidDataset
from app.formats.series.recording import Recording, Values, check_finite
from app.formats.validation import ErrorCollector

MAX_EXAMPLE_VALUES = 2**22
MIN_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Cutting:
    """`window` and `stride`: the steps of a window, and from one to the next. `length`: steps of a whole recording."""

    window: int | None = None
    stride: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """Values (channels, time) of one example of recording `number`; `group` keeps the windows of a recording together."""

    values: Values
    recording: Recording
    number: int
    group: str | None


def cut(recordings: Iterable[Recording], cutting: Cutting, errors: ErrorCollector) -> Iterator[Example]:
    """Yield the examples of all recordings. Add an error for unequal lengths, a warning for recordings shorter than a window."""
    first: Recording | None = None
    lengths: dict[int, str] = {}
    short = list[str]()
    for number, recording in enumerate(recordings):
        first = first or recording
        _check_equal(first, recording)
        check_finite(recording, errors)
        if cutting.window is not None:
            if recording.values.shape[1] < cutting.window:
                short.append(recording.name)
            yield from _windows(recording, cutting.window, cutting.stride or cutting.window, number)
            continue
        values = recording.values if cutting.length is None else resized(recording.values, cutting.length)
        lengths.setdefault(values.shape[1], recording.name)
        if len(lengths) > 1:
            _add_unequal(lengths, recording, errors)
            return
        _check_example(values, recording)
        yield Example(values, recording, number, recording.group)
    if short:
        message = f"{len(short)} recordings are shorter than a window of {cutting.window} steps and were left out."
        errors.warn("short_recordings", message, "/options/window", short[:5])


def resized(values: Values, length: int) -> Values:
    """Cut the end, or repeat the last value of each channel."""
    missing = length - values.shape[1]
    return values[:, :length] if missing <= 0 else np.pad(values, ((0, 0), (0, missing)), mode="edge")


def _windows(recording: Recording, window: int, stride: int, number: int) -> Iterator[Example]:
    group = recording.group or str(number)
    for start in range(0, recording.values.shape[1] - window + 1, stride):
        values = recording.values[:, start : start + window]
        _check_example(values, recording)
        yield Example(values, recording, number, group)


def _check_equal(first: Recording, other: Recording) -> None:
    """Raise InvalidDataset if the recordings have other channels or another rate."""
    if len(other.values) != len(first.values):
        detail = f"{other.name} has {len(other.values)} channels, {first.name} has {len(first.values)}"
    elif other.rate != first.rate:
        detail = f"{other.name} has a rate of {other.rate} Hz, {first.name} one of {first.rate} Hz: resample the recordings"
    else:
        return
    raise InvalidDataset(detail, [FieldError(other.where, detail)])


def _check_example(values: Values, recording: Recording) -> None:
    channels, length = values.shape
    if length < MIN_LENGTH:
        detail = f"{recording.name} has {length} steps: at least {MIN_LENGTH} are needed"
    elif channels * length > MAX_EXAMPLE_VALUES:
        detail = f"{recording.name} has {channels} x {length} values: cut it with `options.window`"
    else:
        return
    raise InvalidDataset(detail, [FieldError(recording.where, detail)])


def _add_unequal(lengths: dict[int, str], recording: Recording, errors: ErrorCollector) -> None:
    (first, name), (other, _) = lengths.items()
    detail = (
        f"{recording.name} has {other} steps, {name} has {first}: set `options.window` to cut windows, or `options.length` to "
        "cut and fill recordings to one length"
    )
    errors.add(recording.where, detail)
