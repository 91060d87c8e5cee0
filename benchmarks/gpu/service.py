"""The embedded service that the check starts, with its datasets, and jobs through HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.demo import images
from benchmarks.gpu.scale import Scale
from benchmarks.phases import phases
from tests.support.deployed_service import Client
from tests.support.embedded_service import Embedded, up

TRAINING = ("source-only", "training", "trials")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and the ids of its datasets: all rows, and a few."""

    embedded: Embedded
    datasets: dict[str, str]
    few: dict[str, str]
    scale: Scale

    @property
    def client(self) -> Client:
        return self.embedded.client

    def submit(self, model: str, params: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Submit an adaptation to the photographs."""
        body = {"base": self.scale.network, **self.datasets, "model": model, "params": params, **fields}
        return self.client.submit(**body)

    def train(self, model: str, params: dict[str, Any], **fields: Any) -> "Trained":
        """Run such a job to its end. Raise AssertionError if it fails."""
        return self.finish(self.submit(model, params, **fields))

    def finish(self, submitted: dict[str, Any]) -> "Trained":
        """Wait for the end of a job. Raise AssertionError if it fails."""
        job = self.client.wait(submitted["id"])
        assert job["status"] == "succeeded", job["error"]
        return Trained(job, self.client.version(job)["metrics"], phases(self.client.http, "jobs", job))


@dataclass(frozen=True, slots=True)
class Trained:
    """A job that has succeeded, the metrics of its version, and the seconds of its phases."""

    job: dict[str, Any]
    metrics: dict[str, Any]
    phases: dict[str, float]

    @property
    def seconds(self) -> float:
        """Return the seconds from the request to the end."""
        return sum(self.phases.values())

    @property
    def training_seconds(self) -> float:
        """Return the seconds of all trainings, with their evaluations."""
        return sum(self.phases.get(name, 0.0) for name in TRAINING)


@contextmanager
def served(folder: Path, scale: Scale, **settings: str) -> Iterator[Service]:
    """Start the service and upload digits and digits on photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    with up(folder, 1, device=scale.device, **settings) as embedded:
        yield Service(embedded, *_upload(embedded.client, folder, scale), scale)


def _upload(client: Client, folder: Path, scale: Scale) -> tuple[dict[str, str], dict[str, str]]:
    """Upload all rows, and a few of them for the encoder; return the ids of both by their part of a job."""
    made = images.make(0, copies=max(1, scale.rows // 700))
    source, labels = made.source
    parts = {
        "source": (source[: scale.rows], labels[: scale.rows]),
        "target": (made.target[: scale.rows], None),
        "evaluation": made.evaluation,
    }
    few = {
        "source": (source[: scale.encoder_rows], labels[: scale.encoder_rows]),
        "target": (made.target[: scale.encoder_rows], None),
    }
    ids: list[dict[str, str]] = [{}, {}]
    for number, kinds in enumerate((parts, few)):
        for name, (pixels, classes) in kinds.items():
            path = folder / f"{name}-{number}.npz"
            path.write_bytes(images.npz(pixels, classes))
            ids[number][name] = client.upload(path, path.stem)["id"]
    return ids[0], ids[1]
