"""Paragraphs of the documentation that installed libraries carry; the class is the library."""

import ast
from collections.abc import Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.shifts.changes import texts
from benchmarks.shifts.rows import Dataset, Rows, by_group

LIBRARIES = ("scipy", "sklearn", "sqlalchemy", "celery")
MIN_WORDS, MAX_WORDS, MAX_PARAGRAPHS = 8, 60, 700


def datasets(data: Path) -> Iterator[Dataset]:
    kinds = {"functions": by_group("kind", lambda kind: kind == "ClassDef")}
    changes = {name: change for name, change in texts.CHANGES.items() if name != "typing-errors"}
    yield Dataset("libraries", "text", partial(paragraphs, LIBRARIES), kinds | changes)
    pair = {name: texts.CHANGES[name] for name in ("none", "vocabulary", "labels", "short")}
    yield Dataset("libraries-pair", "text", partial(paragraphs, LIBRARIES[:2]), kinds | pair, "libraries")


@cache
def paragraphs(libraries: tuple[str, ...]) -> Rows:
    """Return the first paragraphs of docstrings, with the kind of definition as a group."""
    found, labels, kinds = [], [], []
    for library in libraries:
        for text, kind in _of_library(library):
            found.append(text)
            labels.append(library)
            kinds.append(kind)
    return Rows(found, np.array(labels), {"kind": np.array(kinds)})


def _of_library(library: str) -> list[tuple[str, str]]:
    spec = find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    found: list[tuple[str, str]] = []
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "test" in str(path.relative_to(Path(spec.origin).parent)) or path.stat().st_size > 200_000:
            continue
        found += _of_file(path)
        if len(found) >= 3 * MAX_PARAGRAPHS:
            break
    chosen = np.random.default_rng(0).permutation(len(found))[:MAX_PARAGRAPHS]
    return [found[index] for index in chosen]


def _of_file(path: Path) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_text())
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            words = text.split()[:MAX_WORDS]
            if len(words) >= MIN_WORDS:
                yield " ".join(words), type(node).__name__
