"""A recording, and how tables of recordings are laid out."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.errors import FieldError, InvalidDataset
from app.formats.dialects import Layout
from app.formats.validation import ErrorCollector, pointer

MAX_CHANNELS = 1024
MAX_RECORDING_VALUES = 2**26

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """A signal: `values` (channels, time), NaN where one is missing. `rate` is in values per second, if it is known.

    `where` is a JSON pointer, and `name` is for messages. `names` are those of the channels, where the format has them.
    """

    values: Values
    name: str
    where: str
    label: str | None = None
    group: str | None = None
    names: tuple[str, ...] | None = None
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class SeriesColumns:
    """The columns of a table of recordings, as far as the caller names them.

    `is_windowed`: recordings are cut into windows, so that a label may change within one.
    """

    id: str | None = None
    time: str | None = None
    label: str | None = None
    group: str | None = None
    ignore: tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)
    is_windowed: bool = False


def check_size(channels: int, length: int, where: str, name: str) -> None:
    """Raise InvalidDataset for a recording that is too large to hold in memory."""
    if channels > MAX_CHANNELS:
        detail = f"{name} has {channels} channels: at most {MAX_CHANNELS} are accepted"
        raise InvalidDataset(detail, [FieldError(where, detail)])
    if channels * length > MAX_RECORDING_VALUES:
        detail = f"{name} has {channels} x {length} values: at most {MAX_RECORDING_VALUES} are accepted; split it"
        raise InvalidDataset(detail, [FieldError(where, detail)])


def check_finite(recording: Recording, errors: ErrorCollector) -> None:
    """Add an error if a value is infinite, or too large for 32 bits."""
    if np.isinf(recording.values).any():
        channel, step = np.argwhere(np.isinf(recording.values))[0].tolist()
        detail = f"{recording.name}: channel {channel + 1}, step {step + 1} is not a finite 32-bit number"
        errors.add(recording.where + pointer(channel, step), detail)
