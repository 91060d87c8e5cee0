"""Series of sensors and signals. Raw inputs are float32 arrays (n, channels, time), NaN where a value is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from app.errors import InvalidRequest
from app.formats import archives, npz, tables
from app.formats import series as recordings
from app.formats.class_labels import ClassCounter
from app.formats.dialects import Delimiter, Layout
from app.formats.series import long_tables
from app.formats.series.plots import plot
from app.formats.series.recording import SeriesColumns
from app.formats.series.windows import MIN_LENGTH, Cutting, Example, cut
from app.formats.validation import ErrorCollector
from app.modalities.base import (
    CHUNK_ROWS,
    Chunk,
    DatasetFile,
    DatasetOptions,
    Encoder,
    Modality,
    Preprocessing,
    Profile,
    TensorSpec,
    labelled_examples,
)
from app.networks.base import NetworkParams
from app.preprocessing import series_inputs, series_summary
from app.preprocessing.series_inputs import SeriesShape
from app.preprocessing.series_moments import ChannelMoments, interpolated, without_missing
from app.preprocessing.series_summary import SeriesSummary

CHUNK_BYTES = 64 * 1024**2
MAX_STEPS = 2**20
ARCHIVES = ("zip", "tar")
_LABELS_AT = {"npz": "/y", "zip": "/files", "tar": "/files", "ts": "/rows"}

Name = Annotated[str, Field(min_length=1, max_length=200)]
Steps = Annotated[int, Field(ge=MIN_LENGTH, le=MAX_STEPS)]


class SeriesOptions(DatasetOptions):
    """Options for reading series."""

    window: Steps | None = Field(None, description="Steps of each window. Default: one example per recording.")
    stride: int | None = Field(None, ge=1, le=MAX_STEPS, description="Steps from one window to the next. Default: `window`.")
    length: Steps | None = Field(
        None, description="Steps to which recordings are cut, or filled by repeating their last value. Default: equal lengths."
    )
    id: Name | None = Field(None, description="Column of a table that identifies the recording. Default: `id` if it exists.")
    time: Name | None = Field(None, description="Column with the time. Default: `time` or `timestamp` if it exists.")
    label: Name | None = Field(None, description="Column with the labels. Default: `label` if it exists.")
    group: Name | None = Field(
        None, description="Column with the group (machine, patient) whose recordings are validated together. Default: `group`."
    )
    ignore: tuple[Name, ...] = Field((), max_length=2000, description="Columns that are not read.")
    missing: tuple[float, ...] = Field((), max_length=20, description="Numbers that mean a missing value, such as -9999.")
    delimiter: Delimiter | None = Field(None, description="Separator of the cells of a CSV file. Default: detected.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.window is not None and self.length is not None:
            raise ValueError("give either `window` or `length`")
        if self.stride is not None and self.window is None:
            raise ValueError("`stride` needs `window`")
        return self


class SeriesPreprocessing(Preprocessing):
    """Mean and standard deviation of each channel; the network computes (value - mean) / std, 0 where a value is missing."""

    modality: Literal["series"] = "series"
    length: int = Field(description="Steps of each series.")
    mean: tuple[float, ...]
    std: tuple[float, ...]
    names: tuple[str, ...] | None = Field(None, description="Names of the channels, if the dataset has them.")
    rate: int | None = Field(None, description="Values per second, if the dataset has it.")
    fits_length: bool = Field(False, description="Whether longer inputs are cut, and shorter ones filled.")
    missing: tuple[float, ...] = Field((), description="Numbers that mean a missing value.")

    @property
    def shape(self) -> SeriesShape:
        return SeriesShape(len(self.mean), self.length, self.names, self.rate, self.fits_length)


class Series(Modality):
    """npz arrays, long tables, archives of CSV or WAV files, and `.ts` files."""

    name = "series"
    suffixes: ClassVar[Mapping[str, str]] = {
        ".npz": "npz",
        **tables.SUFFIXES,
        ".zip": "zip",
        ".tar": "tar",
        ".tar.gz": "tar",
        ".tgz": "tar",
        ".ts": "ts",
    }
    options = SeriesOptions
    preprocessing = SeriesPreprocessing
    accepts_files = True

    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """Claim arrays and tables that look like recordings, and archives of CSV or WAV files."""
        if format == "npz":
            return npz.may_be_series(path)
        if format in ARCHIVES:
            return archives.holds_recordings(path, format)
        return format == "ts" or long_tables.looks_like_series(path, format, _columns(_options(options)))

    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        labels, errors, summary = ClassCounter(_LABELS_AT.get(format, "/columns")), ErrorCollector(), SeriesSummary()
        for batch in _batches(path, format, _options(options), CHUNK_ROWS, errors):
            summary.add(batch, _stacked(batch))
            _count_labels(labels, batch)
        classes = labels.classes(errors)
        if not summary.count and not errors.count:
            errors.add("/file", "there are no recordings, or all are shorter than a window")
        summary.check(errors)
        errors.check()
        if format in ARCHIVES and classes is not None and len(classes) == 1:
            series_summary.warn_one_folder(next(iter(classes)), errors)
            classes = None
        options = _options(options)
        if format in tables.SUFFIXES.values():
            summary.layout = tables.describe(path, format, _columns(options).layout)
        details = summary.details() | {"fits_length": options.length is not None, "missing_values": list(options.missing)}
        return Profile(format, summary.count, classes, details | ({"warnings": errors.warnings} if errors.warnings else {}))

    def preview(self, file: DatasetFile, rows: Sequence[int]) -> list[dict[str, Any]]:
        def plots(inputs: Any) -> list[dict[str, Any]]:
            return [{"thumbnail": plot(values), "channels": len(values), "length": values.shape[1]} for values in inputs]

        return labelled_examples(self.selected(file, rows), plots)

    def chunks(self, file: DatasetFile, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        for batch in _batches(file.path, file.format, _options(file.options), size, ErrorCollector()):
            labels = [example.recording.label or None for example in batch] if file.labelled else None
            groups = None if batch[0].group is None else [example.group or "" for example in batch]
            yield Chunk(_stacked(batch), labels, len(batch), file.details, groups=groups)

    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        return series_summary.differences(source.details, other.details, "the source")

    def joined_details(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        missing = sorted({*first["missing_values"], *second["missing_values"]})
        return {**first, "missing_values": missing, "fits_length": first["fits_length"] and second["fits_length"]}

    def incompatibilities_with_model(self, preprocessing: Preprocessing, other: Profile) -> list[str]:
        shape = _preprocessing(preprocessing).shape
        names = list(shape.names) if shape.names else None
        fitted = {"channels": shape.channels, "length": shape.length, "names": names, "rate": shape.rate}
        return series_summary.differences(fitted, other.details, "the model")

    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> SeriesPreprocessing:
        """Fit the mean and deviation of each channel over the source."""
        moments: ChannelMoments | None = None
        for chunk in source:
            moments = moments or ChannelMoments(chunk.inputs.shape[1])
            moments.add(interpolated(chunk.inputs))
        if moments is None:
            raise InvalidRequest("The source has no series.")
        names = chunk.details["names"]
        return SeriesPreprocessing(
            length=chunk.inputs.shape[2],
            mean=tuple(moments.mean.tolist()),
            std=tuple(moments.deviation.tolist()),
            names=tuple(names) if names else None,
            rate=chunk.details["rate"],
            fits_length=chunk.details["fits_length"],
            missing=tuple(chunk.details["missing_values"]),
        )

    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """Return an encoder to `series` float32 (n, channels, time), interpolated; NaN only in channels without any value."""
        missing = _preprocessing(preprocessing).missing
        return lambda raw: {"series": interpolated(without_missing(raw, missing))}

    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        shape = _preprocessing(preprocessing).shape
        return {"series": TensorSpec("float32", (shape.channels, shape.length), augmentable="series")}

    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> Any:
        """Parse lists (channels, time), or (time) of a single channel, or objects of lists by channel; null if missing."""
        return series_inputs.parse_json(values, _preprocessing(preprocessing).shape)

    def parse_bytes(self, elements: Sequence[bytes], preprocessing: Preprocessing) -> Any:
        """Parse files: `.npy`, CSV or WAV of one series each, or `.npz` of several."""
        return series_inputs.parse_files(elements, _preprocessing(preprocessing).shape)


def _options(options: DatasetOptions) -> SeriesOptions:
    assert isinstance(options, SeriesOptions)
    return options


def _preprocessing(preprocessing: Preprocessing) -> SeriesPreprocessing:
    assert isinstance(preprocessing, SeriesPreprocessing)
    return preprocessing


def _columns(options: SeriesOptions) -> SeriesColumns:
    is_windowed = options.window is not None
    return SeriesColumns(
        options.id,
        options.time,
        options.label,
        options.group,
        options.ignore,
        Layout(delimiter=options.delimiter),
        is_windowed=is_windowed,
    )


def _batches(path: Path, format: str, options: SeriesOptions, size: int, errors: ErrorCollector) -> Iterator[list[Example]]:
    """Yield the examples in lists of at most `size`, of bounded bytes and equal shapes."""
    read = recordings.read(path, format, _columns(options), errors)
    known = (replace(one, values=without_missing(one.values, options.missing)) for one in read)
    examples = cut(known, Cutting(options.window, options.stride, options.length), errors)
    while first := next(examples, None):
        count = max(1, min(size, CHUNK_BYTES // first.values.nbytes))
        yield [first, *islice(examples, count - 1)]


def _stacked(batch: Sequence[Example]) -> Any:
    return np.stack([example.values for example in batch])


def _count_labels(labels: ClassCounter, batch: Sequence[Example]) -> None:
    for example in batch:
        label = example.recording.label
        if label == "":
            labels.missing.add(example.recording.where, f"{example.recording.name} has no label")
        elif label is not None:
            labels.add([label])
