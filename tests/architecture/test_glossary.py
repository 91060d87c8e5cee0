"""Code, tests and docs use the terms of the glossary, and docstrings of functions are commands."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.prose import function_docstrings, pages, python_files, words_of

GLOSSARY = ROOT / "docs" / "glossary.md"
EXEMPT = {GLOSSARY, Path(__file__)}  # they list the words
NOT_COMMANDS = re.compile(r"(What|Of|Whether|Whoever|How|That|As|Likewise)\b")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading of the glossary."""
    section = GLOSSARY.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")][1:]


def forbidden() -> list[str]:
    """Return the words to avoid; the remarks in parentheses are not part of them."""
    cells = [re.sub(r"\(.*?\)", "", word) for word, _ in rows("Words to avoid")]
    return [word.strip() for cell in cells for word in cell.split(",")]


FORBIDDEN = re.compile(rf"(?<!\bin )\b({'|'.join(map(re.escape, forbidden()))})\b")


def offences(path: Path) -> Iterator[str]:
    """Yield each line of a file that has a forbidden word."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        words = FORBIDDEN.findall(words_of(line.replace(".tell()", "")))  # a method of Python's files
        if words:
            yield f"{path.relative_to(ROOT)}:{number}: {', '.join(words)}: {line.strip()[:120]}"


def test_glossary_defines_each_term_once_in_order() -> None:
    terms = [row[0] for row in rows("Terms")]
    assert len(terms) > 40
    assert terms == sorted(set(terms), key=str.lower)


def test_forbidden_word_is_found_in_prose_and_names() -> None:
    assert FORBIDDEN.findall(words_of("class PictureSize: told_by = 'in place'")) == ["picture", "told"]


def test_no_file_has_a_forbidden_word() -> None:
    lines = [line for path in [*python_files(), *pages()] if path not in EXEMPT for line in offences(path)]
    assert not lines, "\n".join(lines)


def test_function_docstrings_start_with_a_verb() -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{line}: {docstring.splitlines()[0]}"
        for path in python_files()
        for line, docstring in function_docstrings(path)
        if NOT_COMMANDS.match(docstring)
    ]
    assert not lines, "\n".join(lines)
