"""The check of a GPU at small size, on whatever device this machine has."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.table import NEEDS_CUDA

CHECKS = ("DANN", "two jobs on one GPU", "batch prediction", "predictions", "out of memory", "kill -9")
"""Tests of encoders and searches do the rest."""


def test_check_passes_at_small_size(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--small", "--json", str(file), "--checks", *CHECKS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    rows = json.loads(file.read_text())["rows"]
    measured = {row["name"]: row["measured"] for row in rows if row["measured"] != NEEDS_CUDA}
    assert measured.keys() >= {"DANN, float32", "batch prediction", "kill -9 of the trainer"}
    assert not [row["name"] for row in rows if row["passed"] is False]
