"""The README is short, and what it refers to exists."""

import re

import pytest

from tests.support.paths import ROOT
from tests.support.prose import long_sentences

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]


def test_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("name", DOCUMENTS)
def test_sentences_have_at_most_25_words(name: str) -> None:
    assert long_sentences(ROOT / name) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files_of_the_repository(name: str) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text()) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_commands_are_targets_of_the_makefile(name: str) -> None:
    commands = set(re.findall(r"(?:`|    )make ([a-z-]+)", (ROOT / name).read_text()))
    assert len(commands) > 3
    assert commands <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
