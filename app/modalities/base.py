"""What a modality is: it checks uploads, streams examples, fits preprocessing and encodes inputs.

One code for both sides: the trainer's batches and the app's predictions come out of the same `Encoder`.
Raw inputs have one Python type per modality (`image`: uint8 arrays of (H, W, C), `tabular`: polars DataFrame,
`text`: list of strings); encoded inputs are a dict of NumPy arrays whose first axis is the example. The keys of the dict
are the names of the network's inputs and of the ONNX graph's inputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.networks.base import NetworkParams

Encoded = dict[str, NDArray[Any]]
Encoder = Callable[[Any], Encoded]
FastEncoder = Callable[[bytes, int], Encoded | None]
"""From the JSON array of a prediction's inputs, and their maximum number, to encoded inputs; None if it declines."""


def fast_json_encoder(encode: Callable[[list[Any]], Encoded | None]) -> FastEncoder:
    """Return a fast encoder that parses the JSON array and passes its values on."""

    def encode_text(text: bytes, max_inputs: int) -> Encoded | None:
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return encode(values) if type(values) is list and 0 < len(values) <= max_inputs else None

    return encode_text


class DatasetOptions(BaseModel):
    """How to read an upload."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(BaseModel):
    """What was fitted; part of the manifest. Files that it needs beside it (a tokenizer) are named in `files`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One encoded input: NumPy dtype name, and shape without the batch axis; -1 marks a length that varies between batches.

    `augmentable`: images (height, width, channels) of 0..255, which training may change at random.
    `marks_padding`: zero exactly where the examples of a batch are padded to one length.
    """

    dtype: str
    shape: tuple[int, ...]
    augmentable: bool = False
    marks_padding: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """What the check of an upload found out."""

    format: str
    rows: int
    classes: dict[str, int] | None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive examples. `labels` is None for an unlabelled dataset."""

    inputs: Any
    labels: Sequence[str] | None
    rows: int


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A stored dataset as the modalities see it. `details` is what its check found out (`Profile.details`)."""

    path: Path
    format: str
    options: DatasetOptions
    labelled: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


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
        """Read the whole upload once, in bounded memory. Raises InvalidDataset with a FieldError for each bad place."""

    @abstractmethod
    def preview(self, file: DatasetFile, limit: int) -> list[dict[str, Any]]:
        """The first examples as JSON: rows, texts, or thumbnails as data URLs, each with its label."""

    @abstractmethod
    def chunks(self, file: DatasetFile, size: int = 1024) -> Iterator[Chunk]:
        """All examples in a fixed order, at most `size` at a time (fewer where examples are large)."""

    @abstractmethod
    def incompatibilities(self, source: Profile, other: Profile) -> list[str]:
        """Why the two datasets do not fit together, in sentences; empty when they do."""

    def incompatibilities_with_model(self, preprocessing: Preprocessing, other: Profile) -> list[str]:
        """Why a dataset cannot be encoded by what a model was fitted with, in sentences; empty when it can."""
        return []

    def information_loss(self, network: NetworkParams, data: Profile) -> list[str]:
        """What of the data does not reach such a network, in sentences that tell what would keep it; empty when all does."""
        return []

    @abstractmethod
    def fit(
        self, source: Iterable[Chunk], target: Iterable[Chunk], network: NetworkParams, pretrained: Path | None, folder: Path
    ) -> Preprocessing:
        """Fit on one pass over each; `pretrained` is a local checkpoint directory. Needed files are written to `folder`."""

    @abstractmethod
    def encoder(self, preprocessing: Preprocessing, folder: Path) -> Encoder:
        """The function from raw inputs to arrays; `folder` holds the files that `preprocessing` names."""

    @abstractmethod
    def specs(self, preprocessing: Preprocessing) -> dict[str, TensorSpec]:
        """Names, types and shapes of the encoded inputs."""

    @abstractmethod
    def parse(self, values: Sequence[Any], preprocessing: Preprocessing) -> Any:
        """JSON inputs of a prediction to raw inputs. Raises InvalidInputs with pointers `/inputs/3/age`."""

    def parse_bytes(self, elements: Sequence[bytes], preprocessing: Preprocessing) -> Any:
        """Return raw inputs from uploaded files or elements of the raw tensor. Raise InvalidInputs."""
        raise NotImplementedError

    def fast_encoder(self, preprocessing: Preprocessing, encode: Encoder) -> FastEncoder:
        """Return a parser and encoder for simple inputs that takes microseconds.

        It declines all inputs that `parse` or `encode` would reject, and encodes the others as they do.
        """
        return lambda text, max_inputs: None
