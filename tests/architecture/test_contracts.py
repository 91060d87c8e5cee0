"""The import contracts hold, the package roots stay small, and the slow tests exist."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.markers import SLOW, TESTS
from tests.support.paths import ROOT

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_import_contracts_are_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize("package", ["app", "worker"])
def test_package_root_has_at_most_twelve_modules(package: str) -> None:
    modules = [path.name for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 12, modules


def test_slow_tests_exist() -> None:
    assert [path for path in SLOW if not (TESTS / path).exists()] == []
