"""The documentation agrees with the code: package tree, settings, decisions, navigation, sentences."""

import re
from pathlib import Path

import pytest
import yaml

from scripts.docs_reference import TABLES, committed
from tests.support.paths import ROOT
from tests.support.prose import long_sentences

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TREES = re.findall(r"^```text\n(.*?)^```", (DOCS / "architecture.md").read_text(), re.MULTILINE | re.DOTALL)


def names(tree: str) -> list[str]:
    """Return the first word of each line of a tree."""
    return [line.split()[0] for line in tree.splitlines()]


def packages(root: Path) -> list[str]:
    """Return the packages under a folder, sorted, as dotted names."""
    return sorted(".".join(path.parent.relative_to(ROOT).parts) for path in root.rglob("__init__.py"))


def test_package_tree_is_that_of_the_folders() -> None:
    assert names(TREES[0]) == packages(ROOT / "app") + packages(ROOT / "worker")


def test_other_folders_of_the_tree_exist() -> None:
    assert all((ROOT / name).is_dir() for name in names(TREES[1]))


@pytest.mark.parametrize("name", TABLES)
def test_generated_table_is_up_to_date(name: str) -> None:
    assert committed(name)[1] == TABLES[name](), "run `make format`"


def test_decision_index_has_all_records() -> None:
    assert len(TABLES["decisions.md"]().splitlines()) > 12


def test_navigation_has_every_page_once() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    pages = [str(value) for value in re.findall(r": ([\w/-]+\.md)$", config.partition("\nnav:")[2], re.MULTILINE)]
    measurements = [f"measurements/{path.parent.name}.md" for path in (ROOT / "benchmarks").glob("*/README.md")]
    assert sorted(pages) == sorted([str(page.relative_to(DOCS)) for page in PAGES] + measurements)


def test_site_needs_no_external_host() -> None:
    theme = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["theme"]
    assert theme["font"] is False
    assert not re.search(r'(src|href)="https?://', (DOCS / "architecture.svg").read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_sentences_of_a_page_have_at_most_25_words(page: Path) -> None:
    assert long_sentences(page) == []
