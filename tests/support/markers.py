"""Markers that follow from the path and the fixtures of a test, so that no test sets them itself."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
SERVERS = {"postgres": ("postgres_server", "postgresql"), "redis": ("redis_server", "redis")}
# they start whole services, workers or long trainings; `make test-fast` omits them
SLOW = (
    "app/api/test_many_clients.py",
    "app/api/test_prediction_fuzz.py",
    "app/api/test_schemathesis.py",
    "app/demo",
    "app/services/test_upload_bombs.py",
    "architecture/test_extension_points.py",
    "benchmarks",
    "chaos",
    "e2e",
    "worker/algorithms/test_algorithm_contract.py",
    "worker/batch_prediction/test_killed_workers.py",
    "worker/distributed",
    "worker/jobs/test_adaptation.py",
    "worker/jobs/test_batch_prediction.py",
    "worker/jobs/test_evaluation.py",
    "worker/jobs/test_several_sources.py",
    "worker/networks/test_pretrained_jobs.py",
    "worker/search",
    "worker/supervision/test_supervisor.py",
    "worker/supervision/test_workers.py",
    "worker/webhooks/test_workers.py",
)

# they need more than 20 s a file, without servers; `make test-fast` omits them too, and the coverage of `make test` has them
LENGTHY = (
    "app/api/test_authorization.py",
    "app/api/test_mlflow.py",
    "app/api/test_open_inference.py",
    "app/api/test_openapi.py",
    "app/api/test_prediction_bodies.py",
    "app/db/test_outages.py",
    "app/fast_path/test_asgi.py",
    "app/http_server/test_guarded_protocol.py",
    "app/modalities/test_table_formats.py",
    "app/test_cli.py",
    "client/test_client.py",
    "worker/export",
    "worker/jobs",
    "worker/networks/test_checkpoint_files.py",
    "worker/supervision/test_trainer_template.py",
    "worker/training/test_trials.py",
)


def add_markers(item: pytest.Item) -> None:
    """Mark a test as `slow` or `lengthy` by its path, and as `postgres` or `redis` by its fixtures and their parameters."""
    for paths, mark in ((SLOW, pytest.mark.slow), (LENGTHY, pytest.mark.lengthy)):
        if any(item.path.is_relative_to(TESTS / path) for path in paths):
            item.add_marker(mark)
    fixtures = getattr(item, "fixturenames", ())
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    for marker, (fixture, parameter) in SERVERS.items():
        if fixture in fixtures or any(value == parameter for value in parameters if isinstance(value, str)):
            item.add_marker(marker)


def repeats_a_case_on_postgres(item: pytest.Item, seen: set[tuple[Path, str]]) -> bool:
    """Return whether another case of this parametrised test runs on PostgreSQL already; cases of a test have the same SQL."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec") or len(item.callspec.params) == 1:
        return False
    if not any(isinstance(value, str) and value == "postgresql" for value in item.callspec.params.values()):
        return False
    key = (item.path, item.originalname)
    repeats = key in seen
    seen.add(key)
    return repeats
