"""The import contracts hold, the package roots stay small, tests share helpers by `tests.support`, and the slow tests exist."""

import ast
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


def imported_modules(path: Path) -> set[str]:
    """Return the full names of what a module imports, both `a.b` and `a.b.c` for `from a.b import c`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path} has a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_module_imports_from_a_test_module() -> None:
    test_modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in TESTS.rglob("test_*.py")}
    assert "tests.architecture.test_contracts" in test_modules
    importers = {path: test_modules & imported_modules(path) for path in TESTS.rglob("*.py")}
    assert {path: names for path, names in importers.items() if names} == {}
