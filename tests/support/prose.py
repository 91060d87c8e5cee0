"""Sentences of Markdown and words of code, for the tests of the language."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

CODE = ("app", "worker", "tests", "benchmarks", "examples", "scripts")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def python_files() -> Iterator[Path]:
    """Yield all Python files of the repository but the migrations."""
    for folder in CODE:
        yield from sorted((ROOT / folder).rglob("*.py"))


def pages() -> list[Path]:
    """Return the README and all pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]


def sentences(markdown: str) -> Iterator[str]:
    """Yield the sentences of the prose, without code, tables, headings and comments."""
    prose = re.sub(r"<!--.*?-->", "", FENCE.sub("", markdown), flags=re.DOTALL)
    prose = re.sub(r"^(    |\||#|!!!).*$", "", prose, flags=re.MULTILINE)
    prose = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", prose)
    for paragraph in re.split(r"\n\s*\n|^\s*(?:\*|\d+\.) ", prose, flags=re.MULTILINE):
        yield from filter(None, re.split(r"(?<=[.!?:])\s+", " ".join(paragraph.split())))


def long_sentences(path: Path, words: int = 25) -> list[str]:
    """Return the sentences of a page with more words than allowed."""
    return [sentence for sentence in sentences(path.read_text()) if len(re.findall(r"\w[\w'./-]*", sentence)) > words]


def words_of(text: str) -> str:
    """Return the text in lower case, with the words of identifiers separated by spaces."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", text).lower()


def function_docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the docstring of each function of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and not _is_property(node):
                yield node.lineno, docstring


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(decorator, ast.Name) and "property" in decorator.id for decorator in node.decorator_list)
