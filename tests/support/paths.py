"""Folders of the checkout."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

SHARED_DATA = ROOT.parent / "shared" / "data"

SHARED_CASES = ROOT.parent / "shared" / "cases"
