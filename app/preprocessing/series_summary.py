"""The profile of a dataset of series: channels, length, rate and ranges of values; and differences between two datasets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.formats.series.recording import Recording
from app.formats.series.windows import Example
from app.formats.validation import ErrorCollector, printable
from app.preprocessing.series_moments import ChannelMoments

MAX_LISTED = 64
"""Channels whose names and ranges the profile lists."""


class SeriesSummary:
    """Properties of all examples so far."""

    def __init__(self) -> None:
        self.count = 0
        self.layout: dict[str, Any] = {}
        self._moments: ChannelMoments | None = None
        self._first: Recording | None = None
        self._length, self._recordings, self._last = 0, 0, -1

    def add(self, examples: Sequence[Example], batch: NDArray[np.float32]) -> None:
        """Add examples and their values (n, channels, time)."""
        self._first = self._first or examples[0].recording
        self._moments = self._moments or ChannelMoments(batch.shape[1])
        self._recordings += len({example.number for example in examples} - {self._last})
        self._last = examples[-1].number
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values are reported with their positions
            self._moments.add(batch)
        self._length = batch.shape[2]
        self.count += len(batch)

    def check(self, errors: ErrorCollector) -> None:
        """Add warnings for missing values and for channels without information, and an error if all values are missing."""
        if self._moments is None:
            return
        missing, total = int(self._moments.missing.sum()), int((self._moments.missing + self._moments.count).sum())
        if missing == total:
            errors.add("/file", "all values are missing")
        elif missing:
            message = f"{missing} of {total} values are missing. They are interpolated in time, in predictions as well."
            errors.warn("interpolated", message, "/channels", self._shown(self._moments.missing > 0))
        for channel, sentinel in list(self._moments.sentinels().items())[:5]:
            name = self._shown(np.arange(len(self._moments.mean)) == channel)
            message = f"{sentinel:g} is repeated and far from all other values of {name[0]}. If it means a missing value, upload "
            errors.warn("sentinel", message + f'the file with the option `"missing": [{sentinel:g}]`.', "/channels", name)
        constant = self._moments.low >= self._moments.high
        if constant.any() and not constant.all():
            message = "Some channels have only one value, or none: there is nothing to learn from them."
            errors.warn("constant_channels", message, "/channels", self._shown(constant))

    def details(self) -> dict[str, Any]:
        """Return the profile; a rate of None is unknown."""
        assert self._first is not None
        assert self._moments is not None
        return {
            "channels": len(self._moments.mean),
            "names": list(self._first.names) if self._first.names else None,
            "length": self._length,
            "recordings": self._recordings,
            "rate": self._first.rate,
            "missing": int(self._moments.missing.sum()),
            "ranges": self._moments.as_details()[:MAX_LISTED],
            **({"columns": self._columns(self._first.names)} if self._first.names else {}),
            **({"layout": self.layout} if self.layout else {}),
        }

    def _columns(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the channels in the form in which tables describe their columns."""
        assert self._moments is not None
        ranges, missing = self._moments.as_details(), self._moments.missing
        return [
            {"name": name, "kind": "number" if one else "empty", "missing": int(count)}
            | ({"range": [one["min"], one["max"]]} if one else {})
            for name, one, count in zip(names[:MAX_LISTED], ranges, missing, strict=False)
        ]

    def _shown(self, selected: NDArray[np.bool_]) -> list[str]:
        names = self._first.names if self._first else None
        return [printable(names[index], 50) if names else f"channel {index + 1}" for index in np.flatnonzero(selected)[:5]]


def warn_one_folder(name: str, errors: ErrorCollector) -> None:
    """Warn that the files of an archive with a single folder have no labels."""
    errors.warn(
        "one_folder", "All files are in one folder. It is not taken as a class: the dataset is unlabelled.", "/files", [name]
    )


def differences(expected: Mapping[str, Any], given: Mapping[str, Any], owner: str) -> list[str]:
    """Return the differences in shape, names of channels and rate. What is unknown on one side fits everything."""
    if expected["channels"] != given["channels"]:
        return [f"series of {given['channels']} channels, in {owner} {expected['channels']}"]
    found = []
    if expected["length"] != given["length"]:
        advice = "upload it with the same `window` or `length`"
        found.append(f"series of {given['length']} steps, in {owner} {expected['length']}: {advice}")
    if expected["names"] and given["names"] and list(expected["names"]) != list(given["names"]):
        found.append(f"channels {_listed(given['names'])}, in {owner} {_listed(expected['names'])}, in this order")
    if expected["rate"] and given["rate"] and expected["rate"] != given["rate"]:
        found.append(f"a rate of {given['rate']} Hz, in {owner} {expected['rate']} Hz: resample it")
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(printable(name, 30) for name in names[:8]) + (", ..." if len(names) > 8 else "")
