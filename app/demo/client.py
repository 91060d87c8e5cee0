"""The demo's HTTP client, written like a user's script."""

import base64
import sys
import time
from collections.abc import Callable
from typing import Any

import click
import httpx

from app.demo import images as demo_images


class Client:
    """A client of one running service. Raises ClickException with the service's message on an error response."""

    def __init__(self, url: str) -> None:
        # the service is on this machine: a proxy from the environment cannot reach it
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def wait_until_ready(self, seconds: float, alive: Callable[[], bool]) -> bool:
        """Return whether the service became ready within this time, while it is alive."""
        deadline = time.monotonic() + seconds
        while alive() and time.monotonic() < deadline:
            try:
                if self._http.get("/health/ready").is_success:
                    return True
            except httpx.TransportError:
                time.sleep(0.1)
        return False

    def upload(self, name: str, content: bytes) -> str:
        """Upload a dataset and return its id."""
        files = {"file": (f"{name}.npz", content)}
        return str(self._request("POST", "/datasets", data={"name": name, "modality": "image"}, files=files)["id"])

    def adapt(self, job: dict[str, Any]) -> dict[str, Any]:
        """Queue a job, show its progress until it ends, and return its version."""
        job = self._request("POST", "/jobs", json=job)
        bar = ProgressBar(job["params"]["algorithm"])
        while bar.show(job)["finished_at"] is None:
            job = self._request("GET", f"/jobs/{job['id']}", params={"wait": 2})
        bar.end()
        if job["status"] != "succeeded":
            raise click.ClickException(f"The job ended as {job['status']}: {job['error']}")
        return self._request("GET", f"/models/{job['version']['model']}/versions/{job['version']['number']}")

    def predict(self, model: str, images: demo_images.Images) -> list[dict[str, Any]]:
        """Return one prediction per image."""
        inputs = [base64.b64encode(demo_images.png(image)).decode() for image in images]
        response = self._request("POST", "/predict", json={"model": model, "inputs": inputs})
        predictions: list[dict[str, Any]] = response["predictions"]
        return predictions

    def _request(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._http.request(method, path, **request)
        if response.is_error:
            raise click.ClickException(f"{method} {path} failed with status {response.status_code}: {response.text}")
        document: dict[str, Any] = response.json()
        return document


class ProgressBar:
    """A progress bar on a terminal, a line every fifth of the way elsewhere."""

    def __init__(self, name: str, width: int = 30) -> None:
        self._name, self._width = name, width
        self._start = time.monotonic()
        self._printed = ("", -1)

    def show(self, job: dict[str, Any]) -> dict[str, Any]:
        """Draw the state of the job and return the job."""
        status, progress, eta = job["status"], job["progress"], job["eta_seconds"]
        filled = "#" * round(progress * self._width)
        rest = f"{eta:.0f} s left" if status == "running" and eta else status
        line = f"  {self._name:<10} [{filled:.<{self._width}}] {progress:4.0%}  {time.monotonic() - self._start:4.0f} s  {rest}"
        step = (status, int(progress * 5))
        if sys.stdout.isatty():
            click.echo(f"\r{line:<79}", nl=False)
        elif step != self._printed:
            click.echo(line)
        self._printed = step
        return job

    def end(self) -> None:
        if sys.stdout.isatty():
            click.echo()
