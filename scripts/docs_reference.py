"""Markdown of the reference pages, made from the code: catalogues, HTTP API, command line, settings and decisions."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from app.algorithms import PARAMS
from app.cli import cli as cli_commands
from app.cli.errors import EXIT_CODES
from app.main import create_app
from app.networks import NETWORKS
from app.settings import Settings
from app.validators import VALIDATORS

ROOT = Path(__file__).parent.parent
DECISION = re.compile(r"\b(Context|Decision):")


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; pipes and line breaks in cells are made safe."""
    cells = [[" ".join(cell.split()).replace("|", r"\|") for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def linked(text: str) -> str:
    """Return the text with its bare addresses as links."""
    return re.sub(r"https?://[^\s,;)]+", lambda match: f"<{match[0]}>", text)


def algorithms() -> str:
    """Return the table of the algorithms: name, summary, paper."""
    rows = [[f"`{name}`", cls.__doc__ or "", linked(cls.paper or "")] for name, cls in PARAMS.items()]
    return table(["algorithm", "summary", "paper"], rows)


def networks() -> str:
    """Return the table of the networks: name, modalities, summary."""
    rows = [[f"`{name}`", ", ".join(cls.modalities), cls.__doc__ or ""] for name, cls in NETWORKS.items()]
    return table(["network", "modalities", "summary"], rows)


def validators() -> str:
    """Return the table of the validators: name, summary, paper."""
    rows = [[f"`{name}`", text.partition("\n\n")[0], linked(text.partition("\n\n")[2])] for name, text in VALIDATORS.items()]
    return table(["validator", "summary", "paper"], rows)


def settings() -> str:
    """Return the table of the settings with their defaults."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ("", ()) else f"`{field.default}`"
        rows.append([f"`ISTHMUS_{name.upper()}`", default, field.description or ""])
    return table(["variable", "default", "meaning"], rows)


def http_api() -> str:
    """Return all routes of the OpenAPI document, grouped by tag."""
    with TemporaryDirectory() as folder:
        document = create_app(Settings(data_dir=Path(folder), _env_file=None)).openapi()
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(method.upper(), path, operation))
    return "\n\n".join(f"## {tag.capitalize()}\n\n" + "\n\n".join(texts) for tag, texts in groups.items())


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        [f"`{parameter['name']}`", parameter["in"], parameter.get("description", "")]
        for parameter in operation.get("parameters", [])
    ]
    responses = [[status, response["description"]] for status, response in operation["responses"].items() if status != "default"]
    texts = [f"### `{method} {path}`", operation.get("description", operation["summary"])]
    texts += [f"Scope of the key: `{operation['x-required-scope']}`."] if "x-required-scope" in operation else []
    texts += [table(["parameter", "in", "meaning"], rows)] if rows else []
    return "\n\n".join([*texts, table(["status", "meaning"], responses)])


def cli() -> str:
    """Return the help of every command."""
    texts = [
        f"## `{name}`\n\n```text\n{_help(command, name)}\n```" for name, command in commands(get_command(cli_commands), "isthmus")
    ]
    codes = table(["exit code", "meaning"], [[str(code), meaning] for code, meaning in EXIT_CODES.items()])
    return "\n\n".join([codes, *texts])


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group and of its subgroups with their full names."""
    for part, command in sorted(group.commands.items()):
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{name} {part}")
        else:
            yield f"{name} {part}", command


def _help(command: Any, name: str) -> str:
    text: str = command.get_help(command.context_class(command, info_name=name, max_content_width=100))
    return text


def decisions() -> str:
    """Return the table of the decision records: modules whose docstring has a context and a decision."""
    rows = [[f"`{module}`", title] for module, title in sorted(_records())]
    return table(["module", "subject"], rows)


def _records() -> Iterator[tuple[str, str]]:
    for path in [path for package in ("app", "worker") for path in (ROOT / package).rglob("*.py")]:
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        if DECISION.search(text):
            title = textwrap.shorten(text.partition("\n\n")[0], 200)
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), title


TABLES = {"reference/settings.md": settings, "decisions.md": decisions}
BEGIN, END = "<!-- table -->\n", "\n<!-- /table -->"


def committed(name: str) -> tuple[str, str, str]:
    """Return the text before, in and after the table of a page."""
    before, _, rest = (ROOT / "docs" / name).read_text().partition(BEGIN)
    text, _, after = rest.partition(END)
    return before, text, after


def main() -> None:
    """Write the tables that are committed: settings and decisions."""
    for name, generate in TABLES.items():
        before, _, after = committed(name)
        (ROOT / "docs" / name).write_text(before + BEGIN + generate() + END + after)


if __name__ == "__main__":
    main()
