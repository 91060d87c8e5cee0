"""Typed results. Fields of newer servers that have no annotation here are also attributes and items."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from isthmus.errors import JobFailedError
from isthmus.progress import Progress
from isthmus.reports import version_html

if TYPE_CHECKING:
    from isthmus.client import Client

Fields = Mapping[str, Any]
ENDED = ("succeeded", "failed", "cancelled")
POLL_SECONDS = 10.0


class Record:
    """One JSON object of the service. Times are `datetime` objects as attributes, and texts in `data`."""

    def __init__(self, data: Fields, client: Any = None) -> None:
        self.data = data
        self._client = client

    if not TYPE_CHECKING:  # a type checker knows only the annotated fields

        def __getattr__(self, name: str) -> Any:
            try:
                value = self.__dict__["data"][name]
            except KeyError:
                raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None
            return datetime.fromisoformat(value) if name.endswith("_at") and isinstance(value, str) else value

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.data == self.data

    __hash__ = None  # type: ignore[assignment]  # its fields are mutable

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self.data]

    def __repr__(self) -> str:
        shown = ("id", "name", "model", "number", "version", "label", "confidence", "status", "rows", "created_at")
        return f"{type(self).__name__}({', '.join(f'{key}={self.data[key]!r}' for key in shown if key in self.data)})"

    @property
    def identifier(self) -> str:
        """Return the id or the name by which routes call this object."""
        return str(self.data.get("id") or self.data["name"])

    @property
    def _blocking(self) -> "Client":
        from isthmus.client import Client

        if not isinstance(self._client, Client):
            raise TypeError("This method blocks. With AsyncClient, await the method of the same name of the client.")
        return self._client


def identifier(value: Any) -> Any:
    """Return the id, name or reference of a record, lists of them for lists, and other values as they are."""
    return list(map(identifier, value)) if isinstance(value, list) else value.identifier if isinstance(value, Record) else value


class _Described(Record):
    """Something that users describe."""

    description: str
    tags: Sequence[str]
    created_at: datetime


class Dataset(_Described):
    """An immutable upload."""

    id: str
    name: str
    modality: str
    format: str
    options: Fields
    rows: int
    labelled: bool
    classes: Mapping[str, int] | None
    profile: Fields
    interpretation: Fields
    warnings: Sequence[Fields]


class JobCheck(Record):
    """Whether a job would be accepted, and why not."""

    accepted: bool
    errors: Sequence[Fields]
    warnings: Sequence[Fields]


class _Work(_Described):
    """Something that a worker runs."""

    id: str
    status: str
    phase: str | None
    position: int | None
    progress: float
    eta_seconds: float | None
    warnings: Sequence[Fields]
    error: Fields | None
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def _get(self, wait: float = 0) -> Self:
        raise NotImplementedError

    def refresh(self) -> Self:
        """Return the present state."""
        return self._get()

    def _until_ended(self, progress: bool) -> Self:
        state, bar = self, Progress(self.data.get("model", type(self).__name__), progress)
        with bar:
            while not bar.show(state).ended:
                state = state._get(POLL_SECONDS)
        if state.status != "succeeded":
            raise JobFailedError(state)
        return state


class Job(_Work):
    """An adaptation job."""

    model: str
    source: str | None
    sources: Sequence[str]
    target: str | None
    evaluation: str | None
    base: Fields
    params: Fields
    metrics: Fields
    version: Fields | None
    trials: Sequence[Fields]

    def _get(self, wait: float = 0) -> Self:
        return self._blocking.jobs.get(self.id, wait=wait)  # type: ignore[return-value]

    def cancel(self) -> "Job":
        return self._blocking.jobs.cancel(self.id)

    def wait(self, *, progress: bool = True) -> "Version":
        """Wait for the end and return the version. Raise JobFailedError. The bar is silent in pipes."""
        job = self._until_ended(progress)
        if job.version is None:
            raise JobFailedError(job)
        return self._blocking.models.get_version(job.version["model"], job.version["number"])


class _Result(_Work):
    """Work whose record is its result."""

    dataset: str

    def wait(self, *, progress: bool = True) -> Self:
        """Wait for the end. Raise JobFailedError."""
        return self._until_ended(progress)


class BatchPrediction(_Result):
    """The prediction of a whole dataset."""

    model: str
    version: int
    output: str
    counts: Mapping[str, int]
    result: Fields | None

    def _get(self, wait: float = 0) -> Self:
        return self._blocking.batch_predictions.get(self.id, wait=wait)  # type: ignore[return-value]

    def cancel(self) -> "BatchPrediction":
        return self._blocking.batch_predictions.cancel(self.id)

    def download(self, file: str | Path | None = None) -> Path:
        """Store the output, by default in the current folder."""
        target = Path(file or f"{self.model}-{self.id}.{self.output}")
        return self._blocking.download(f"/batch-predictions/{self.id}/output", target)


class Evaluation(_Result):
    """The measurement of versions on a labelled dataset."""

    versions: Sequence[Any]
    results: Sequence[Fields] | None
    comparisons: Sequence[Fields]

    def _get(self, wait: float = 0) -> Self:
        return self._blocking.evaluations.get(self.id, wait=wait)  # type: ignore[return-value]


class LabelRequest(Record):
    """Rows to label, and what their labels measure."""

    id: str
    model: str
    version: int
    dataset: str
    purpose: str
    classes: Sequence[str]
    count: int
    answered: int
    measured: Fields | None
    next_look: Fields | None


class Model(_Described):
    """A name with numbered versions."""

    name: str
    aliases: Sequence[Fields]
    newest: Fields
    versions: int


class VersionSummary(_Described):
    """A version in the list of its model."""

    summary: Sequence[str]
    number: int
    modality: str
    metrics: Fields


class Version(VersionSummary):
    """A version with its report."""

    model: str
    classes: Sequence[str]
    aliases: Sequence[str]
    lineage: Fields
    artifacts: Sequence[Fields]

    @property
    def identifier(self) -> str:
        """Return the reference in predictions, such as `wine:2`."""
        return f"{self.model}:{self.number}"

    def predict(self, rows: Any, *, top_k: int = 1, probabilities: bool = False, strict: bool = False) -> Any:
        """Predict a frame, array or list. A frame gives a frame of the same library, others a list of `Prediction`."""
        return self._blocking.predict(self, rows, top_k=top_k, probabilities=probabilities, strict=strict)

    def promote(self, alias: str = "production") -> Record:
        """Set an alias to this version. A reference without version or alias means `production`."""
        return self._blocking.models.set_alias(self.model, alias, version=self.number)

    def download(self, folder: str | Path = ".") -> list[Path]:
        """Store all artifacts in a folder."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        path = f"/models/{self.model}/versions/{self.number}/artifacts"
        return [self._blocking.download(f"{path}/{each['name']}", target / each["name"]) for each in self.artifacts]

    def _repr_html_(self) -> str:
        return version_html(self.identifier, self.data)


class Prediction(Record):
    """The prediction for one input."""

    label: str
    confidence: float
    abstained: bool
    top: Sequence[Fields]
    probabilities: Mapping[str, float] | None
