"""The README's walk through the API works as it is written, with the data that it makes."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.embedded_service import Embedded, up
from tests.support.paths import ROOT

URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with up(tmp_path_factory.mktemp("embedded")) as running:
        yield running


def walk() -> str:
    """All shell blocks of the README, in one script."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the walk is written with curl, which is not on this machine")
def test_the_walk_through_the_api_works_as_written(embedded: Embedded, tmp_path: Path) -> None:
    script = walk()
    assert URL in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", script.replace(URL, str(embedded.client.http.base_url))],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "event: done" in done.stdout
    assert '"domain_accuracy"' in done.stdout
    assert '"target_accuracy"' in done.stdout
    assert '"predictions"' in done.stdout
    assert (tmp_path / "model.onnx").stat().st_size > 1000
    metrics = embedded.client.http.get("/metrics").text
    assert 'isthmus_jobs{status="succeeded"} 1.0' in metrics
    assert 'isthmus_job_duration_seconds_count{algorithm="dann",status="succeeded"} 1.0' in metrics
    assert 'isthmus_prediction_seconds_count{modality="tabular"} 1.0' in metrics
    assert 'isthmus_predicted_inputs_total{modality="tabular"} 2.0' in metrics
