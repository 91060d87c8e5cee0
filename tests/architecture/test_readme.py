"""The README tells the truth about settings and places."""

import re

import pytest
from pydantic.fields import FieldInfo

from app.settings import Settings
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()


def row(name: str, field: FieldInfo) -> str:
    default = "" if field.default == "" else f"`{field.default}`"
    return f"| `ISTHMUS_{name.upper()}` | {default} | {field.description} |"


def test_the_table_of_settings_is_the_settings() -> None:
    rows = [row(name, field) for name, field in Settings.model_fields.items()]
    table = "\n".join(["| variable | default | what |", "|---|---|---|", *rows])
    written = README.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0].strip()
    assert written == table


def test_the_map_names_places_that_exist() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", README.partition("## Map of the tree")[2].partition("## Add")[0], re.MULTILINE)
    places = [place for cell in rows for place in re.findall(r"`([^`]+)`", cell)]
    assert len(places) > 10
    assert [place for place in places if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("target", ["demo", "test", "up"])
def test_the_commands_are_targets_of_the_makefile(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
