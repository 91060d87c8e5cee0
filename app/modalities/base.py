"""Interface of a modality: it checks uploads, streams examples, fits the preprocessing and encodes inputs.

Training batches and predictions come from the same `Encoder`. Raw inputs have one Python type per modality (`image`:
arrays (H, W, C), `tabular`: Polars data frames, `text`: lists of strings). Encoded inputs are a dict of NumPy arrays whose
first axis is the example; its keys are the input names of the network and of the ONNX graph.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.formats.data_warnings import DataWarning
from app.networks.base import NetworkParams

Encoded = dict[str, NDArray[Any]]
Encoder = Callable[[Any], Encoded]


class EncodedInputs(NamedTuple):
    """Inputs for the graph, and warnings about values that the model does not know."""

    arrays: Encoded
    warnings: Sequence[DataWarning] = ()


FastEncoder = Callable[[bytes, int], EncodedInputs | None]
"""From the JSON array of a prediction's inputs, and their maximum number, to encoded inputs; None if it declines."""

CHUNK_ROWS = 1024
MAX_FAST_JSON_BYTES = 1024 * 1024
"""Longer arrays are parsed in threads: the event loop would stand still, and few bytes of JSON take much memory."""

Augmentable = Literal["image", "series"]
"""Inputs that training may change at random: images (height, width, channels) of 0..255, or series (channels, time)."""


def fast_json_encoder(encode: Callable[[list[Any]], EncodedInputs | None]) -> FastEncoder:
    """Return a fast encoder that parses the JSON array, unless it is long, and passes its values on."""

    def encode_text(text: bytes, max_inputs: int) -> EncodedInputs | None:
        if len(text) > MAX_FAST_JSON_BYTES:
            return None
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return encode(values) if type(values) is list and 0 < len(values) <= max_inputs else None

    return encode_text


class DatasetOptions(BaseModel):
    """Options for reading an upload."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(BaseModel):
    """Fitted preprocessing, stored in the manifest. `files` names files stored with it, such as a tokenizer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One encoded input: NumPy dtype name, and shape without the batch axis; -1 marks a length that varies between batches.

    `augmentable`: which random changes training may make, None for none.
    `marks_padding`: zero exactly where the examples of a batch are padded to one length.
    `limits`: integers are codes less than this number, or than the number of their column.
    """

    dtype: str
    shape: tuple[int, ...]
    augmentable: Augmentable | None = None
    marks_padding: bool = False
    limits: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """Result of the check of an upload."""

    format: str
    rows: int
    classes: dict[str, int] | None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive examples. `labels` is None for an unlabelled dataset, and has None for an example without one.

    `details` are those of the dataset.

    `unlearned` are columns that `fit` must not use. Examples of one of the `groups`, such as a recording, stay on one side of the
    validation split. `domains` are the names of the source domains, where the source has several.
    """

    inputs: Any
    labels: Sequence[str | None] | None
    rows: int
    details: Mapping[str, Any] = field(default_factory=dict)
    unlearned: frozenset[str] = frozenset()
    groups: Sequence[str] | None = None
    domains: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A stored dataset. `details` are those of its profile."""

    path: Path
    format: str
    options: DatasetOptions
    labelled: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


def select_rows(chunks: Iterable[Chunk], rows: Sequence[int]) -> Iterator[Chunk]:
    """Yield the examples at these positions, in ascending order, without chunks that have none of them."""
    start = 0
    for chunk in chunks:
        first, end = bisect_left(rows, start), bisect_left(rows, start + chunk.rows)
        if first < end:
            yield _at(chunk, [row - start for row in rows[first:end]])
        if end == len(rows):
            return
        start += chunk.rows


def _at(chunk: Chunk, positions: list[int]) -> Chunk:
    inputs = [chunk.inputs[position] for position in positions] if isinstance(chunk.inputs, list) else chunk.inputs[positions]
    labels = chunk.labels and [chunk.labels[position] for position in positions]
    groups = chunk.groups and [chunk.groups[position] for position in positions]
    domains = chunk.domains and [chunk.domains[position] for position in positions]
    return replace(chunk, inputs=inputs, labels=labels, groups=groups, domains=domains, rows=len(positions))


def labelled_examples(
    chunks: Iterable[Chunk], describe: Callable[[Any], list[dict[str, Any]]], label: str = "label"
) -> list[dict[str, Any]]:
    """Return all examples as JSON, with their labels where there are labels."""
    examples = []
    for chunk in chunks:
        rows = describe(chunk.inputs)
        examples += [row | {label: name} for row, name in zip(rows, chunk.labels, strict=True)] if chunk.labels else rows
    return examples


class Modality(ABC):
    """One kind of data. Subclasses are stateless; the module's name is the modality's name."""

    name: ClassVar[str]
    suffixes: ClassVar[Mapping[str, str]]
    """File name endings and the format each one means, e.g. {".tar.gz": "tar"}."""
    options: ClassVar[type[DatasetOptions]]
    preprocessing: ClassVar[type[Preprocessing]]
    accepts_files: ClassVar[bool] = False
    """Predictions may send their inputs as uploaded files, which `parse_bytes` reads."""
    raw_tensor: ClassVar[str | None] = None
    """Name of the BYTES tensor of the Open Inference Protocol whose elements `parse_bytes` reads, if there is one."""
    rows_are_objects: ClassVar[bool] = False
    """JSON inputs are objects by column name, even if there is only one column."""

    @abstractmethod
    def can_read(self, path: Path, format: str, options: DatasetOptions) -> bool:
        """Return whether this modality reads an upload that names none, from its header or first rows.

        Only called if several modalities share the file name's suffix; at most one of them should agree. Raise InvalidDataset.
        """

    @abstractmethod
    def check(self, path: Path, format: str, options: DatasetOptions) -> Profile:
        """Read the whole upload once, in bounded memory. Raise InvalidDataset with one FieldError per problem."""

    @abstractmethod
    def preview(self, file: DatasetFile, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return the examples at these positions, in ascending order, as JSON: rows, texts or thumbnails, with their labels.

        Positions after the last example are left out.
        """

    def example(self, file: DatasetFile, row: int) -> list[dict[str, Any]]:
        """Return the example at this position as `preview` does, but in full: an image at its size. Empty: there is none."""
        return self.preview(file, [row])

    @abstractmethod
    def chunks(self, file: DatasetFile, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield all examples in a fixed order, at most `size` per chunk."""

    def selected(self, file: DatasetFile, rows: Sequence[int]) -> Iterator[Chunk]:
        """Yield the examples at these positions, in ascending order; read no further than the last one."""
        return select_rows(self.chunks(file, min(CHUNK_ROWS, rows[-1] + 1)), rows) if rows else iter(())

    @abstractmethod
    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        """Return the reasons why the datasets cannot be source and target of one job; empty if they can."""

    def comparison(self, source: Profile, other: Profile, role: str) -> list[DataWarning]:
        """Return differences that do not prevent a job, but that its sender should know. `role`: `target` or `evaluation`."""
        return []

    def joined(self, first: Profile, second: Profile) -> Profile:
        """Return the profile of two sources as one source. They must not be incompatible."""
        classes = Counter(first.classes or {}) + Counter(second.classes or {})
        details = self.joined_details(first.details, second.details)
        return Profile(first.format, first.rows + second.rows, dict(classes), details)

    def joined_details(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        """Return the details of two sources as one source."""
        return dict(first)

    def left_out(self, source: Profile, joined: Profile) -> frozenset[str]:
        """Return the columns of a source that the profile of all sources does not have."""
        return frozenset()

    def unshared_inputs(self, source: Profile, other: Profile) -> list[str]:
        """Return the columns of the source that the other dataset does not have. Jobs do not learn them."""
        return []

    def incompatibilities_with_model(self, preprocessing: Preprocessing, other: Profile) -> list[str]:
        """Return the reasons why a model's preprocessing cannot encode a dataset; empty if it can."""
        return []

    def information_loss(self, network: NetworkParams, data: Profile) -> list[str]:
        """Return warnings about data that the network does not receive, and how to keep it."""
        return []

    @abstractmethod
    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> Preprocessing:
        """Fit in one pass over each domain, and write the files that encoding needs to `folder`.

        `pretrained` is a local checkpoint directory.
        """

    @abstractmethod
    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """Return the function from raw inputs to arrays; `folder` contains the files that `preprocessing` names."""

    @abstractmethod
    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        """Return the names, types and shapes of the encoded inputs."""

    def unknown_values(self, raw: Any, preprocessing: Preprocessing) -> list[DataWarning]:
        """Return warnings about values of parsed JSON inputs that the model does not know and handles as missing."""
        return []

    @abstractmethod
    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> Any:
        """Return raw inputs from JSON inputs. Raise InvalidInputs with pointers such as `/inputs/3/age`."""

    def from_cells(self, rows: Sequence[Mapping[str, str | None]], preprocessing: Preprocessing) -> Sequence[Mapping[str, Any]]:
        """Return rows of text cells, such as those of a CSV file, as rows of JSON values. The default leaves all cells texts."""
        return rows

    def parse_bytes(self, elements: Sequence[bytes], preprocessing: Preprocessing) -> Any:
        """Return raw inputs from uploaded files or elements of the raw tensor. Raise InvalidInputs."""
        raise NotImplementedError

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """Return a parser and encoder of simple inputs that takes only microseconds.

        It declines all inputs that `parse` or `encode` would reject, and encodes the others as they do.
        """
        return lambda text, max_inputs: None

    def can_decode_at_once(self, files: Sequence[bytes]) -> bool:
        """Return whether files of a request take so little time to decode that no thread is needed."""
        return False
