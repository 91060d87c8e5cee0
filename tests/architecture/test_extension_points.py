"""Extensions added to a copy of the tree as new files, without editing an existing one.

The toy extensions are in `toy_extensions/`; `.txt` keeps tools from treating them as modules of this tree.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

EXTENSIONS = Path(__file__).parent / "toy_extensions"
COPIED = ("app", "worker", "migrations", "tests/support")
TIMEOUT_SECONDS = 600


def run(tree: Path, command: Sequence[str]) -> str:
    """Run a command in the copy, and return its standard output."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extended_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of the tree with the toy extensions."""
    tree = tmp_path_factory.mktemp("extended") / "tree"
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name)  # with the bytecode, which is valid for equal times of modification
    for name in ("pyproject.toml", "tests/__init__.py"):
        shutil.copy(ROOT / name, tree / name)
    for file in EXTENSIONS.rglob("*.py.txt"):
        target = tree / file.relative_to(EXTENSIONS).with_suffix("")
        assert not target.exists(), "an extension must be a new file"
        shutil.copy(file, target)
    return tree


@pytest.fixture(scope="module")
def report(extended_tree: Path) -> dict[str, Any]:
    """Responses of the service in the copy."""
    command = [sys.executable, "-m", "tests.support.extension_probe", str(extended_tree.parent / "data")]
    printed: dict[str, Any] = json.loads(run(extended_tree, command).splitlines()[-1])
    return printed


def test_extensions_are_in_the_catalogue(report: dict[str, Any]) -> None:
    assert "mean_difference" in report["algorithms"]
    assert "slice_cnn" in report["networks"]
    assert {"MeanDifferenceParams", "SliceCnnParams"} <= set(report["schemas"])
    assert "margin" in report["validators"]


def test_npz_uploads_are_recognised_without_naming_a_modality(report: dict[str, Any]) -> None:
    assert report["modalities"] == {"volumes": "volume", "images": "image"}


def test_job_with_all_extensions_yields_a_model(report: dict[str, Any]) -> None:
    job = report["job"]
    assert (job["status"], job["params"]["algorithm"], job["base"]["network"]) == ("succeeded", "mean_difference", "slice_cnn")
    assert report["accuracy"] > 0.8
    assert [one["name"] for one in report["metadata"]["inputs"]] == ["volume"]


def test_job_of_a_new_kind_runs_in_the_worker(report: dict[str, Any]) -> None:
    counted = report["row_count"]
    assert (counted["status"], counted["metrics"]["rows"]) == ("succeeded", 80)
    assert counted["metrics"]["accuracy"] == pytest.approx(report["accuracy"])
    assert 'isthmus_row_counts{status="succeeded"} 1.0' in report["scrape"]
    assert "row counts" in report["tags"]


def test_extensions_keep_the_import_contracts(extended_tree: Path) -> None:
    assert "0 broken" in run(extended_tree, [str(Path(sys.executable).parent / "lint-imports"), "--no-logo"])
