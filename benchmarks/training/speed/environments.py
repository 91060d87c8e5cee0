"""Environments of the peers, from the Python package index. pytorch-adapt pins versions that are years old: it gets today's."""

import subprocess
import sys
from pathlib import Path

TORCH = "torch==2.13.0"
COMMANDS = {
    "torch": (
        [TORCH],
        ["skada", "skorch", "packaging"],
        ["--no-deps", "pytorch-adapt", "pytorch-metric-learning", "torchmetrics", "lightning-utilities"],
    ),
    "tensorflow": (["tensorflow-cpu", "adapt"],),
}


def install(folder: Path) -> None:
    """Make those that are not there."""
    for name, commands in COMMANDS.items():
        python = folder / name / "bin/python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
            for packages in commands:
                subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
