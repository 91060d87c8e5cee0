"""Hooks of mkdocs: pages and tables that come from the code or from the benchmarks' READMEs.

A line `<!-- generate: NAME -->` in a page is replaced by the Markdown of that generator.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from scripts import docs_reference  # noqa: E402  # needs the line above

GENERATORS: dict[str, Callable[[], str]] = {
    "algorithms": docs_reference.algorithms,
    "networks": docs_reference.networks,
    "validators": docs_reference.validators,
    "http-api": docs_reference.http_api,
    "cli": docs_reference.cli,
}
MARKER = re.compile(r"^<!-- generate: ([a-z-]+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for the README of each benchmark."""
    for readme in sorted((ROOT / "benchmarks").glob("*/README.md")):
        page = File.generated(config, f"measurements/{readme.parent.name}.md", content=readme.read_text())
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the markers of a page."""
    return MARKER.sub(lambda match: GENERATORS[match[1]](), markdown)
