"""The coverage floor of `make test` never falls."""

import subprocess

import pytest

from tests.support.paths import ROOT

FLOOR = "coverage-floor.txt"


def git(*arguments: str) -> str:
    """Return the output of a git command in this checkout; skip the test outside a checkout."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is not a git checkout")
    return done.stdout


def test_coverage_floor_is_at_least_that_of_every_commit() -> None:
    floor = float((ROOT / FLOOR).read_text())
    commits = git("log", "--format=%H", "--", FLOOR).split()
    assert max((float(git("show", f"{commit}:{FLOOR}")) for commit in commits), default=0.0) <= floor <= 100
