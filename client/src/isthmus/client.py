"""`Client` and `AsyncClient`: the groups of routes, and adaptation and prediction in one call each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import httpx2

from isthmus.errors import JobFailedError
from isthmus.frames import Rebuild, split
from isthmus.records import POLL_SECONDS, Dataset, Job, Prediction, Record, Version
from isthmus.resources import BatchPredictions, Catalogue, Datasets, Evaluations, Jobs, LabelRequests, Models, Service, Webhooks
from isthmus.routes import C
from isthmus.transport import AsyncTransport, Call, Connection, Transport

T = TypeVar("T")
ROWS_PER_REQUEST = 500
Ref = str | Dataset | None
Text = str | None
Model = str | Version


class _Groups(Generic[C]):
    """The routes of a client by kind of object."""

    def _add_groups(self, client: C) -> None:
        self.datasets: Datasets[C] = Datasets(client)
        self.jobs: Jobs[C] = Jobs(client)
        self.models: Models[C] = Models(client)
        self.batch_predictions: BatchPredictions[C] = BatchPredictions(client)
        self.catalogue: Catalogue[C] = Catalogue(client)
        self.evaluations: Evaluations[C] = Evaluations(client)
        self.label_requests: LabelRequests[C] = LabelRequests(client)
        self.service: Service[C] = Service(client)
        self.webhooks: Webhooks[C] = Webhooks(client)


class Client(_Groups["Client"]):
    """A blocking client. `ISTHMUS_URL` and `ISTHMUS_API_KEY` are the defaults of the first two arguments."""

    def __init__(
        self, url: Text = None, api_key: Text = None, *, max_retries: int = 4, http_client: httpx2.Client | None = None
    ) -> None:
        self._transport = Transport(Connection.of(url, api_key, max_retries), http_client)
        self.url = self._transport.connection.url
        self._add_groups(self)

    def send(self, call: Call[T]) -> T:
        """Send a request. Raise IsthmusError."""
        return self._transport.send(call, self)

    def adapt(self, source: Any, target: Ref, *, model: str, algorithm: str = "auto", **more: Any) -> Job:
        """Queue an adaptation from one source or several. `more`: `evaluation`, `base`, `params`, `idempotency_key`."""
        return self.send(_job(source, target, model, algorithm, more))

    def predict(self, model: Model, rows: Any, **options: Any) -> Any:
        """Predict a frame, array or list of any length. A frame gives a frame of the same library.

        `options` are `top_k`, `probabilities`, `strict` and `precision`.
        """
        calls, rebuild = _predictions(model, rows, options)
        return rebuild(_found([self.send(call) for call in calls]))

    def download(self, path: str, file: Path) -> Path:
        """Store the response of a path in a file."""
        return self._transport.download(path, file)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Groups["AsyncClient"]):
    """The same for asyncio: methods of the groups are awaited, lists are iterated by `async for`."""

    def __init__(
        self, url: Text = None, api_key: Text = None, *, max_retries: int = 4, http_client: httpx2.AsyncClient | None = None
    ) -> None:
        self._transport = AsyncTransport(Connection.of(url, api_key, max_retries), http_client)
        self.url = self._transport.connection.url
        self._add_groups(self)

    async def send(self, call: Call[T]) -> T:
        """Send a request. Raise IsthmusError."""
        return await self._transport.send(call, self)

    async def adapt(self, source: Any, target: Ref, *, model: str, algorithm: str = "auto", **more: Any) -> Job:
        """Queue an adaptation from one source or several. `more`: `evaluation`, `base`, `params`, `idempotency_key`."""
        return await self.send(_job(source, target, model, algorithm, more))

    async def wait(self, job: Job) -> Version:
        """Wait for the end of a job and return its version. Raise JobFailedError."""
        while not job.ended:
            job = await self.jobs.get(job, wait=POLL_SECONDS)
        if job.version is None:
            raise JobFailedError(job)
        return await self.models.get_version(job.version["model"], job.version["number"])

    async def predict(self, model: Model, rows: Any, **options: Any) -> Any:
        """Predict a frame, array or list of any length. A frame gives a frame of the same library."""
        calls, rebuild = _predictions(model, rows, options)
        return rebuild(_found([await self.send(call) for call in calls]))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _job(source: Any, target: Ref, model: str, algorithm: str, more: Mapping[str, Any]) -> Call[Job]:
    params = {"algorithm": algorithm, **(more.get("params") or {})}
    return Jobs.submit.call(**{**more, "source": source, "target": target, "model": model, "params": params})


def _predictions(model: Model, rows: Any, options: Mapping[str, Any]) -> tuple[list[Call[Record]], Rebuild]:
    inputs, rebuild = split(rows, getattr(model, "modality", None))
    blocks = [inputs[start : start + ROWS_PER_REQUEST] for start in range(0, len(inputs), ROWS_PER_REQUEST)]
    return [Models.predict.call(model=model, inputs=block, **options) for block in blocks], rebuild


def _found(responses: Sequence[Record]) -> list[Prediction]:
    return [Prediction(each) for response in responses for each in response["predictions"]]
