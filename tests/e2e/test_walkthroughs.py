"""The walkthroughs of the README and of the tutorial run as written."""

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
TIMEOUT_SECONDS = 900
"""Enough for a machine that is busy with other work."""


@pytest.fixture
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with up(tmp_path_factory.mktemp("embedded")) as running:
        yield running


def script_of(page: str) -> str:
    """Return all shell blocks of a page as one script."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL))


def run_page(page: str, url: str, folder: Path) -> str:
    """Run the shell blocks of a page in a folder against this server; return the output."""
    (folder / "examples").symlink_to(ROOT / "examples")
    script = script_of(page)
    assert URL in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", script.replace(URL, url)],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS - 60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(TIMEOUT_SECONDS)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl, which is not on this machine")
def test_tutorial_runs_as_written(embedded: Embedded, tmp_path: Path) -> None:
    output = run_page("docs/tutorial.md", str(embedded.client.http.base_url), tmp_path)
    assert "event: done" in output
    assert '"target_accuracy_estimate"' in output
    assert '"predictions"' in output
    assert '"domain_accuracy"' in output
    assert '"target_accuracy"' in output
    metrics = embedded.client.http.get("/metrics").text
    assert 'isthmus_jobs{status="succeeded"} 1.0' in metrics
    assert 'isthmus_job_duration_seconds_count{algorithm="dann",status="succeeded"} 1.0' in metrics
    assert 'isthmus_prediction_seconds_count{modality="tabular"} 1.0' in metrics
    assert 'isthmus_predicted_inputs_total{modality="tabular"} 2.0' in metrics
    assert (tmp_path / "var/wine/model.onnx").stat().st_size > 1000
    assert len((tmp_path / "var/wine/predictions.csv").read_text().splitlines()) == 59


@pytest.mark.timeout(TIMEOUT_SECONDS)
def test_walkthrough_of_the_readme_ends_with_a_gain(embedded: Embedded, tmp_path: Path) -> None:
    output = run_page("README.md", str(embedded.client.http.base_url), tmp_path)
    accuracies = [int(line.split("\t")[3].rstrip("%")) for line in output.splitlines() if line.count("\t") == 5]
    source_only, adapted = accuracies
    assert adapted > source_only + 3
    assert len(output.splitlines()[-58:]) == 58
