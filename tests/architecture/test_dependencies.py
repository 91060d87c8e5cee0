"""The lock file covers every dependency, and no build of torch."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.lock import UNPINNED, pins
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [Requirement(line) for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()) for line in lines]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PINS = pins(CONSTRAINTS)
VERSIONS = {canonicalize_name(name): version for name, version in (pin.split("==") for pin in PINS)}


def transitive(requirement: Requirement, visited: set[str]) -> Iterator[str]:
    """Yield the names that an installed requirement depends on, itself included."""
    key = f"{canonicalize_name(requirement.name)}[{','.join(sorted(requirement.extras))}]"
    if key in visited:
        return
    visited.add(key)
    yield canonicalize_name(requirement.name)
    try:
        lines = requires(requirement.name) or []
    except PackageNotFoundError:
        return
    for dependency in map(Requirement, lines):
        marker = dependency.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
            yield from transitive(dependency, visited)


def test_constraints_hold_one_plain_pin_per_package() -> None:
    assert len(VERSIONS) == len(PINS)
    assert [pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    assert "://" not in CONSTRAINTS


def test_constraints_leave_the_build_of_torch_to_the_machine() -> None:
    assert [pin for pin in PINS if UNPINNED.match(pin)] == []


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_constraints_pin_each_direct_dependency_within_its_range(requirement: Requirement) -> None:
    if not UNPINNED.match(f"{requirement.name}=="):
        assert VERSIONS[canonicalize_name(requirement.name)] in requirement.specifier


def test_constraints_pin_all_transitive_dependencies() -> None:
    visited: set[str] = set()
    names = {name for requirement in DIRECT for name in transitive(requirement, visited)}
    assert len(names) > len(DIRECT)
    assert {name for name in names - VERSIONS.keys() if not UNPINNED.match(f"{name}==")} == set()


@pytest.mark.parametrize("name", ["uvicorn", "onnxruntime", "honcho"])
def test_dependencies_with_private_names_in_use_have_an_upper_bound(name: str) -> None:
    (requirement,) = (requirement for requirement in DIRECT if requirement.name == name)
    assert "<" in {specifier.operator for specifier in requirement.specifier}
