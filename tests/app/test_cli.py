"""The command line, as processes where it matters."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from typer.main import get_command
from typer.testing import CliRunner

from app.cli import cli
from app.db.session import make_engine
from app.db.tables import Base
from scripts.docs_reference import commands
from tests.support.databases import create_postgres_database
from tests.support.paths import ROOT
from tests.support.servers import RedisServer, free_port

NEWEST = ScriptDirectory.from_config(Config(toml_file=str(ROOT / "pyproject.toml"))).get_current_head()
"""The last migration."""


def isthmus(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end in `folder`."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", *arguments],
        cwd=folder,
        env=os.environ | {"ISTHMUS_DATA_DIR": str(folder / "data")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_migrate_creates_all_tables_and_is_idempotent(tmp_path: Path) -> None:
    for before in (None, NEWEST):
        done = isthmus("migrate", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        line = json.loads(done.stderr.splitlines()[-1])
        assert (line["event"], line["before"], line["after"]) == ("database.migrated", before, NEWEST)
    engine = make_engine(f"sqlite:///{tmp_path}/data/isthmus.db")
    assert set(Base.metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_concurrent_migrations_run_once(postgres_server: str, tmp_path: Path) -> None:
    url = create_postgres_database(postgres_server, "migrate_twice")
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    command = [sys.executable, "-P", "-m", "app.cli", "migrate"]
    environment = os.environ | {"ISTHMUS_DATABASE_URL": url}
    pair = [subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    lines = [json.loads(process.communicate(timeout=60)[1].splitlines()[-1]) for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert {line["before"] for line in lines} == {None, NEWEST}


def test_check_prints_one_line_per_dependency(postgres_server: str, redis_server: RedisServer, tmp_path: Path) -> None:
    url = create_postgres_database(postgres_server, "check")
    well = isthmus("check", folder=tmp_path, ISTHMUS_DATABASE_URL=url, ISTHMUS_BROKER_URL=redis_server.url)
    assert (well.stdout, well.stderr, well.returncode) == ("database: ok\nbroker: ok\nstorage: ok\n", "", 0)


def test_check_names_the_unreachable_dependency(tmp_path: Path) -> None:
    isthmus("migrate", folder=tmp_path)
    well = isthmus("check", folder=tmp_path)
    assert (well.returncode, well.stdout.split("\n")[0]) == (0, "database: ok")
    away = isthmus("check", folder=tmp_path, ISTHMUS_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert away.returncode == 1
    assert "storage: ok" in away.stdout
    assert "broker: The broker cannot be reached." in away.stdout


def test_check_reports_a_missing_worker(tmp_path: Path) -> None:
    lonely = isthmus("check", "--worker", folder=tmp_path)
    assert lonely.returncode == 1
    assert "worker: no worker on this machine responds" in lonely.stdout


@pytest.mark.parametrize("command", ["up", "demo"])
def test_port_in_use_is_reported_before_anything_is_written(command: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = isthmus(command, "--port", port, "--data", "here", folder=tmp_path)
    assert refused.returncode == 1
    assert (
        f"Cannot listen on 127.0.0.1:{port} (Address already in use by process {os.getpid()}). Choose another" in refused.stderr
    )
    assert f'make {command} {command.upper()}="--port ' in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_demo_keeps_a_folder_it_did_not_create(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    refused = isthmus("demo", "--port", str(free_port()), "--data", ".", folder=tmp_path)
    assert refused.returncode == 1
    assert "was not made by an earlier demo" in refused.stderr
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(("name", "value"), [("ISTHMUS_LEASE_SECONDS", "-1"), ("ISTHMUS_FAST_PATH", "maybe")])
def test_invalid_setting_stops_the_start_and_is_named(name: str, value: str, tmp_path: Path) -> None:
    refused = isthmus("migrate", folder=tmp_path, **{name: value})
    assert refused.returncode == 1
    assert f"{name}: " in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(("name", "command"), list(commands(get_command(cli), "isthmus")))
def test_every_command_has_help(name: str, command: Any) -> None:
    shown = CliRunner().invoke(cli, [*name.split()[1:], "--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.output
    assert command.help


def test_help_and_completion_import_nothing_large() -> None:
    check = "import sys, app.cli; from typer.main import get_command; get_command(app.cli.cli); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in loaded
    assert not {"numpy", "polars", "pydantic", "sqlalchemy", "structlog", "rich", "httpx2", "isthmus", "celery"} & set(loaded)


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_api_runs_in_any_folder_until_sigterm(fast_path: str, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise RuntimeError('not this app')")
    isthmus("migrate", folder=tmp_path)
    port = free_port()
    api = subprocess.Popen(
        [sys.executable, "-P", "-m", "app.cli", "api", "--port", str(port)],
        cwd=tmp_path,
        env=os.environ | {"ISTHMUS_DATA_DIR": str(tmp_path / "data"), "ISTHMUS_FAST_PATH": fast_path},
        stderr=subprocess.PIPE,
        text=True,
    )
    client = httpx.Client(transport=httpx.HTTPTransport(retries=7))
    answer = client.get(f"http://127.0.0.1:{port}/health/ready", headers={"X-Request-ID": "probe"})
    missing = client.get(f"http://127.0.0.1:{port}/nowhere", headers={"X-Request-ID": "lost"})
    client.close()
    api.send_signal(signal.SIGTERM)
    _, errors = api.communicate(timeout=20)
    assert (answer.status_code, missing.status_code) == (200, 404)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert any(line.get("request_id") == "lost" and line["status"] == 404 for line in lines)
    assert "Application shutdown complete." in [line["event"] for line in lines]
    assert api.returncode == -signal.SIGTERM  # uvicorn ends in order, then lets the signal have its usual effect


def test_server_for_others_is_refused_without_keys_and_starts_with_one(tmp_path: Path) -> None:
    host = ["--host", "0.0.0.0", "--port", str(free_port())]
    isthmus("migrate", folder=tmp_path)
    for command in ("up", "api"):
        refused = isthmus(command, *host, folder=tmp_path)
        assert refused.returncode == 1
        assert "isthmus keys create me --scopes admin" in refused.stderr
    made = isthmus("keys", "create", "me", "--scopes", "admin", folder=tmp_path)
    key = made.stdout.strip()
    assert key.startswith("isth_")
    assert key not in made.stderr
    listed = isthmus("keys", "list", folder=tmp_path)
    assert key.split("_")[1] in listed.stdout
    assert key not in listed.stdout + listed.stderr
    with started(tmp_path, "api", *host) as url:
        assert httpx.get(f"{url}/models").status_code == 401
        assert httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        rotated = isthmus("keys", "rotate", key.split("_")[1], folder=tmp_path).stdout.strip()
        assert httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {rotated}"}).status_code == 200
    assert isthmus("keys", "revoke", rotated.split("_")[1], folder=tmp_path).returncode == 0
    assert isthmus("api", *host, folder=tmp_path).returncode == 1


def test_admin_key_of_the_settings_is_stored_as_a_digest(tmp_path: Path) -> None:
    secret, host = "f0" * 20, ["--host", "0.0.0.0", "--port", str(free_port())]
    isthmus("migrate", folder=tmp_path)
    with started(tmp_path, "api", *host, ISTHMUS_ADMIN_KEY=secret) as url:
        assert httpx.get(f"{url}/keys", headers={"Authorization": f"Bearer {secret}"}).json()["data"][0]["id"] == "admin"
        assert httpx.get(f"{url}/keys", headers={"Authorization": f"Bearer {'0f' * 20}"}).status_code == 401
    stored = (tmp_path / "data" / "isthmus.db").read_bytes()
    assert secret.encode() not in stored


def test_invalid_scopes_are_named(tmp_path: Path) -> None:
    failed = isthmus("keys", "create", "me", "--scopes", "everything", folder=tmp_path)
    assert failed.returncode == 1
    assert "there is no scope 'everything'" in failed.stderr


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """Run a server until the block ends, and yield its local URL."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "app.cli", *arguments],
        cwd=folder,
        env=os.environ | {"ISTHMUS_DATA_DIR": str(folder / "data")} | environment,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{arguments[-1]}"
    try:
        until_live(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def until_live(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server responds."""
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline:
        assert process.poll() is None
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/live").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not start")
