"""The processes of an embedded service, by their work, for tests that kill them."""

from pathlib import Path

import psutil

from tests.support.embedded_service import Embedded
from tests.support.factories import npz_bytes, write
from tests.support.polling import wait_until
from tests.support.toy_problems import toy_images

QUICK_SETTINGS = {"train_threads": "1", "heartbeat_seconds": "0.5", "lease_seconds": "5", "sweep_seconds": "1"}


def named(embedded: Embedded, word: str) -> psutil.Process:
    """Return the first process of the service whose command line has this word; parents come before their children."""
    return next(process for process in embedded.descendants() if word in process.cmdline())


def worker(embedded: Embedded) -> psutil.Process:
    return named(embedded, "prefork")


def pool(embedded: Embedded) -> psutil.Process:
    (child,) = wait_until(lambda: worker(embedded).children(), what="a pool process")
    return child


def trainer(embedded: Embedded) -> psutil.Process:
    return wait_until(lambda: next(iter(pool(embedded).children()), None), what="a trainer")


def start_job(embedded: Embedded, folder: Path) -> None:
    """Start a job that lasts longer than the test."""
    examples = toy_images(200, 3, target=False)
    assert examples.labels is not None
    content = npz_bytes(x=examples.inputs["pixels"].numpy(), y=examples.labels.numpy())
    dataset = embedded.client.upload(write(folder, "digits.npz", content), "digits", modality="image")["id"]
    params = {"algorithm": "fine_tune", "epochs": 5000}
    embedded.client.submit(model="digits", source=dataset, base={"network": "cnn"}, params=params)
