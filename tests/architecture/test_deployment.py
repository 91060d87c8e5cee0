"""The compose file and the Dockerfile have the options on which the reliability of jobs rests."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from app.cli import main
from app.settings import Settings
from tests.support.paths import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PROCESSES = ["app", "beat", "worker", "worker-cpu"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_redis_persists_messages_and_evicts_none() -> None:
    assert SERVICES["redis"]["image"] == "redis:7"
    assert SERVICES["redis"]["command"][1:] == ["--appendonly", "yes", "--maxmemory-policy", "noeviction"]


def test_persistent_data_is_in_named_volumes() -> None:
    mounted = {service: [entry.split(":") for entry in options.get("volumes", [])] for service, options in SERVICES.items()}
    assert {name for volumes in mounted.values() for name, _ in volumes} == set(COMPOSE["volumes"])
    assert mounted["postgres"] == [["postgres", "/var/lib/postgresql/data"]]
    assert mounted["redis"] == [["redis", "/data"]]
    assert all(mounted[service] == [["data", "/data"]] for service in [*PROCESSES, "migrate"])
    assert DOCKERFILE.count("\nVOLUME /data\n") == 2
    assert "ISTHMUS_DATA_DIR=/data" in DOCKERFILE


@pytest.mark.parametrize("service", PROCESSES)
def test_process_starts_after_migrations_and_restarts_after_a_crash(service: str) -> None:
    options = SERVICES[service]
    assert options["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
    }
    assert options["init"] is True
    assert options["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", [*PROCESSES, "migrate"])
def test_process_has_server_addresses_and_no_privileges(service: str) -> None:
    options = SERVICES[service]
    assert "@postgres:5432/isthmus" in options["environment"]["ISTHMUS_DATABASE_URL"]
    assert options["environment"]["ISTHMUS_BROKER_URL"] == "redis://redis:6379/0"
    assert options["env_file"] == [{"path": ".env", "required": False}]
    assert options["build"]["target"] == ("worker" if service.startswith("worker") else "app")
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in options  # the image's own, which is not root


def test_app_alone_publishes_a_port_on_loopback_by_default() -> None:
    assert {service: options["ports"] for service, options in SERVICES.items() if "ports" in options} == {
        "app": ["${APP_BIND:-127.0.0.1}:${APP_PORT:-8000}:8000"]
    }


def test_every_permanent_service_has_a_health_check() -> None:
    checks = {service: options["healthcheck"].get("test") for service, options in SERVICES.items() if "healthcheck" in options}
    assert checks.pop("migrate") is None  # it ends
    assert checks["postgres"][1].startswith("pg_isready ")
    assert checks["redis"] == ["CMD", "redis-cli", "-e", "ping"]
    assert checks["beat"] == ["CMD", "isthmus", "check"]
    assert set(checks) | {"app", "worker", "worker-cpu"} == set(SERVICES) - {"migrate"}  # defined in their images


def test_migrate_runs_once_after_postgresql_is_healthy() -> None:
    assert SERVICES["postgres"]["image"] == "postgres:17"
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
    assert {name for name in COMPOSE["x-settings"] if name.startswith("ISTHMUS_")} <= settings


def test_commands_exist_in_the_command_line() -> None:
    commands = [options["command"] for options in SERVICES.values() if options.get("command", [""])[0] == "isthmus"]
    commands += [re.findall(r'"([^"]+)"', line) for line in re.findall(r"^CMD .*isthmus.*", DOCKERFILE, re.MULTILINE)]
    assert {command[1] for command in commands} == {"migrate", "api", "beat", "worker"}
    assert {command[1] for command in commands} <= set(main.commands)


def test_images_run_unprivileged_with_a_health_check() -> None:
    for target in ("app", "worker"):
        stage = DOCKERFILE.partition(f"AS {target}\n")[2].partition("\nFROM ")[0]
        assert "\nUSER isthmus\n" in stage
        assert "\nHEALTHCHECK " in stage
        assert stage.index("\nUSER ") > stage.rindex("\nRUN ")  # the user cannot change installed files
        assert ("torch" in stage) == (target == "worker")


def test_images_copy_only_the_allowed_files() -> None:
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert (
        copied
        == allowed
        == {
            "pyproject.toml",
            "constraints.txt",
            "README.md",
            "LICENSE",
            "app",
            "worker",
            "migrations",
        }
    )
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.11-slim", "base", "base"]


def test_torch_is_installed_first_in_the_range_of_the_project() -> None:
    (torch,) = (requirement for requirement in PROJECT["optional-dependencies"]["worker"] if requirement.startswith("torch"))
    stage = DOCKERFILE.partition("AS worker\n")[2]
    assert f"\nTORCH := {torch}\n" in MAKEFILE
    assert f'"{torch}"' in stage
    assert stage.index(f'"{torch}"') < stage.index('".[s3,worker]"')
    assert "s3" in PROJECT["optional-dependencies"]


def test_images_install_the_locked_versions() -> None:
    installs = re.findall(r"pip install (.+)", DOCKERFILE)
    assert len(installs) == 5
    assert all(options.startswith(("--constraint constraints.txt ", "--no-deps . ")) for options in installs)
