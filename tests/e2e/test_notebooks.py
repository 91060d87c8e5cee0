"""The notebooks of the four modalities, and the commands of a user, against one service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployed_service import Client
from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
pytestmark = pytest.mark.timeout(250)


@pytest.fixture(scope="module")
def url(service: Client) -> Iterator[str]:
    """Name the service in the environment, where client and commands look for it."""
    with pytest.MonkeyPatch.context() as patch:
        url = str(service.http.base_url)
        patch.setenv("ISTHMUS_URL", url)
        yield url


def isthmus(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command of a user in a folder and return its output."""
    command = [sys.executable, "-P", "-m", "app.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_ends_with_a_gain(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert all(not cell.get("outputs") for cell in cells)
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    version, predictions, client = names["version"], names["predictions"], names["client"]
    assert len(predictions) >= 2
    client.close()
    assert "<h4>" in version._repr_html_()
    assert version.metrics["target_accuracy"] >= version.metrics["source_only_target_accuracy"], version.metrics


def test_commands_lead_from_files_to_predictions(url: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "examples/wine.py", "wine"], cwd=tmp_path, check=True)
    params = ["--algorithm", "fine_tune", "--params", '{"epochs": 3}', "--label", "cultivar"]
    shown = isthmus(tmp_path, "adapt", "wine/source.csv", "wine/target.csv", "--model", "grapes", *params, "--watch")
    assert shown.startswith("grapes:1\n")
    (job,) = json.loads(isthmus(tmp_path, "jobs", "list", "--model", "grapes", "--json"))
    assert job["status"] == "succeeded"
    assert "grapes:1" in isthmus(tmp_path, "jobs", "watch", job["id"])
    assert isthmus(tmp_path, "jobs", "logs", job["id"]).strip()
    isthmus(tmp_path, "models", "promote", "grapes:1")
    assert "production=1" in isthmus(tmp_path, "models", "list")
    lines = isthmus(tmp_path, "predict", "grapes@production", "wine/target.csv", "--top-k", "2").splitlines()
    assert len(lines) == 58
    assert lines[0].count("\t") == 1
    assert "model.onnx" in isthmus(tmp_path, "models", "download", "grapes", "--folder", "files")
    assert (tmp_path / "files/model.onnx").stat().st_size > 1000
    rows = isthmus(tmp_path, "models", "compare", "grapes:1", "grapes@production").splitlines()
    assert [row.split("\t")[1] for row in rows] == ["fine_tune", "fine_tune"]
    assert "idle" in isthmus(tmp_path, "workers")
    request = json.loads(isthmus(tmp_path, "label", "request", "grapes", "--count", "20", "--purpose", "accuracy", "--json"))
    header, *rows = isthmus(tmp_path, "label", "export", request["id"]).splitlines()
    names = header.split(",")
    assert len(json.loads(isthmus(tmp_path, "label", "export", request["id"], "--json"))) == len(rows)
    answers = [{"row": row.split(",")[names.index("row")], "label": request["classes"][0]} for row in rows]
    (tmp_path / "labels.csv").write_text("row,label\n" + "\n".join(f"{each['row']},{each['label']}" for each in answers) + "\n")
    assert "Accuracy: " in isthmus(tmp_path, "label", "import", request["id"], "labels.csv")
    assert "PROBLEM" not in isthmus(tmp_path, "doctor")
    assert url in isthmus(tmp_path, "open")


@pytest.mark.usefixtures("url")
def test_failures_have_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    isthmus(tmp_path, "models", "show", "nothing", code=5)
    isthmus(tmp_path, "workers", "--url", "http://127.0.0.1:1", code=3)
    isthmus(tmp_path, "upload", "nowhere.csv", code=2)
    isthmus(tmp_path, "upload", "one.csv", "--options", "[]", code=2)
    isthmus(tmp_path, "upload", "one.csv", "--label", "colour", code=1)
