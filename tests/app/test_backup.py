"""Backup of a service that runs, and restore into the same or another kind of database."""

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Table, func, insert, inspect, select
from sqlalchemy.orm import Session, sessionmaker
from typer.testing import CliRunner

from app import storage_keys
from app.backup.layout import TABLES, to_json
from app.cli import cli
from app.db.session import SessionFactory, db_now, make_engine
from app.db.tables import AliasRow, ArtifactRow, EventRow, FileDeletionRow, JobRow, MetricRow, RegistryRevisionRow, VersionRow
from app.db.webhook_tables import DeliveryRow, WebhookRow
from app.job_state import JobStatus
from app.job_types.trial import TRIAL
from app.services import file_deletions, leases
from app.settings import Settings
from app.storage import Storage
from tests.support.databases import create_postgres_database
from tests.support.factories import lease_of, make_dataset, make_job, make_result, make_version

Sessions = sessionmaker[Session]
KINDS = ["sqlite", "postgresql"]


class Service:
    """A service with its own database and storage, and the command line for it."""

    def __init__(self, database: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(data_dir=folder, database_url=database, _env_file=None)
        self.storage = Storage(self.settings.storage)
        self.engine = make_engine(database)
        self.sessions = SessionFactory(self.engine)
        self._monkeypatch = monkeypatch

    def run(self, *arguments: str) -> str:
        """Run a command that succeeds; return its output."""
        code, output = self.attempt(*arguments)
        assert code == 0, output
        return output

    def attempt(self, *arguments: str) -> tuple[int, str]:
        with self._monkeypatch.context() as environment:
            environment.setenv("ISTHMUS_DATA_DIR", str(self.settings.data_dir))
            environment.setenv("ISTHMUS_DATABASE_URL", self.settings.database)
            result = CliRunner().invoke(cli, list(arguments))
        return result.exit_code, result.output

    def rows(self) -> dict[str, list[str]]:
        """Return all rows as text, without the revision, which a restore raises."""
        with self.engine.connect() as connection:
            tables = [table for table in TABLES if table.name != RegistryRevisionRow.__tablename__]
            found = {table: connection.execute(select(table)).all() for table in tables}
            return {table.name: sorted(_as_text(table, row) for row in rows) for table, rows in found.items()}


def _as_text(table: Table, row: Iterable[object]) -> str:
    return json.dumps(to_json(dict(zip(table.columns.keys(), row, strict=True))), sort_keys=True)


@pytest.fixture
def services(
    request: pytest.FixtureRequest, tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, Service]]:
    """Return a service to back up and an empty one, of the kinds of databases that the test names."""
    made = []
    for number, kind in enumerate(request.param):
        if kind == "sqlite":
            path = tmp_path / str(number) / "isthmus.db"
            path.parent.mkdir()
            shutil.copy(empty_sqlite, path)
            url = f"sqlite:///{path}"
        else:
            url = create_postgres_database(request.getfixturevalue("postgres_server"), f"backup_{number}")
        made.append(Service(url, tmp_path / str(number), monkeypatch))
    yield made[0], made[1]
    for service in made:
        service.engine.dispose()


def fill(service: Service, folder: Path) -> VersionRow:
    """Add datasets, an ended and a derived version with alias, metrics and events."""
    with service.sessions.begin() as session:
        dataset = make_dataset(session)
        first = make_version(session, artifacts=["model.onnx", "manifest.json"])
        job = make_job(
            session, status=JobStatus.RUNNING, source_id=dataset.id, base={"model": "digits:1"}, base_version_id=first.id
        )
        leases.finish(session, lease_of(job), make_result())
        session.add(AliasRow(model_id=first.model_id, name="production", version_id=first.id))
        session.add(EventRow(job_id=first.job_id, attempt=1, kind="metrics", data={}))
        webhook = WebhookRow(url="https://example.org", events=["job.finished"], secret="whsec_c2VjcmV0")
        session.add(webhook)
        session.flush()
        session.add(DeliveryRow(webhook_id=webhook.id, event="job.finished", data={}, retry_until=db_now()))
        session.flush()
        session.add(MetricRow(job_id=first.job_id, event_id=1, attempt=1, step=1, epoch=0.5, name="loss", value=0.1))
        for key in (dataset.storage_key, *session.scalars(select(ArtifactRow.storage_key))):
            path = folder / uuid.uuid4().hex
            path.write_bytes(key.encode())
            stored = service.storage.put(key, path)
            for row in (dataset, *session.scalars(select(ArtifactRow).where(ArtifactRow.storage_key == key))):
                if row.storage_key == key:
                    row.digest, row.size_bytes = stored.digest, stored.size_bytes
    return first


both_ways = pytest.mark.parametrize(
    "services", [(a, b) for a in KINDS for b in KINDS], ids=[f"{a}-to-{b}" for a in KINDS for b in KINDS], indirect=True
)
of_sqlite = pytest.mark.parametrize("services", [("sqlite", "sqlite")], ids=["sqlite"], indirect=True)


@of_sqlite
def test_backup_has_all_tables(services: tuple[Service, Service]) -> None:
    tables = set(inspect(services[0].engine).get_table_names())
    assert {table.name for table in TABLES} == tables - {"alembic_version"}


@both_ways
def test_restored_service_equals_the_one_that_was_backed_up(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, target = services
    fill(source, tmp_path)
    assert "files" in source.run("backup", str(tmp_path / "backup"))
    restored = json.loads(target.run("restore", str(tmp_path / "backup"), "--json").splitlines()[-1])
    assert restored.keys() == {"rows", "files", "size_bytes"}
    assert restored["files"] > 0
    assert target.rows() == source.rows()
    keys = sorted(source.storage.keys("datasets") + source.storage.keys("jobs"))
    assert sorted(target.storage.keys("datasets") + target.storage.keys("jobs")) == keys
    for key in keys:
        with source.storage.open(key) as ours, target.storage.open(key) as theirs:
            assert ours.read() == theirs.read()
    with target.sessions.begin() as session:  # new rows are numbered after the restored ones
        session.add(EventRow(job_id=session.scalars(select(JobRow.id)).first(), attempt=1, kind="done", data={}))


@of_sqlite
def test_restore_refuses_a_service_with_data_without_replace(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, target = services
    fill(source, tmp_path)
    source.run("backup", str(tmp_path / "backup"))
    with target.sessions.begin() as session:
        search = make_job(session, status=JobStatus.FAILED)
        make_job(session, status=JobStatus.FAILED, kind=TRIAL.name, parent_id=search.id, trial="1-0-mcc")
        base = make_version(session, model="other")
        make_version(session, model="other", base_version_id=base.id)
    before = target.rows()
    code, output = target.attempt("restore", str(tmp_path / "backup"))
    assert (code, target.rows()) == (1, before)
    assert "The service has data. Restore into an empty one, or add --replace" in output
    with target.sessions.begin() as session:
        session.execute(RegistryRevisionRow.__table__.update().values(revision=7))  # type: ignore[attr-defined]
    target.run("restore", "--replace", str(tmp_path / "backup"))
    assert target.rows() == source.rows()
    with target.sessions() as session:
        assert session.scalar(select(RegistryRevisionRow.revision)) == 8


@of_sqlite
def test_restored_files_outlast_pending_deletions_of_the_replaced_service(
    services: tuple[Service, Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = services
    fill(source, tmp_path)
    source.run("backup", str(tmp_path / "backup"))
    files = sorted(source.storage.keys("datasets") + source.storage.keys("jobs"))
    with target.sessions.begin() as session:  # the rows of the files were deleted after the backup
        folders = sorted({key.rpartition("/")[0] for key in files})
        session.add_all([FileDeletionRow(storage_key=folder, created_at=db_now(-3600)) for folder in folders])
    put, swept = Storage.put, set()

    def put_and_sweep(storage: Storage, key: str, path: Path) -> object:
        stored = put(storage, key, path)
        if storage.root == target.storage.root and key not in swept:
            swept.add(key)
            file_deletions.remove_remaining(target.sessions, storage)
            if key == files[0]:  # another sweep has read its pending deletions before the restore
                storage.delete(key)
        return stored

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put", put_and_sweep)
        target.run("restore", "--replace", str(tmp_path / "backup"))
    file_deletions.remove_remaining(target.sessions, target.storage)
    assert sorted(target.storage.keys("datasets") + target.storage.keys("jobs")) == files


@of_sqlite
def test_corrupt_file_of_a_backup_restores_nothing(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, target = services
    fill(source, tmp_path)
    source.run("backup", str(tmp_path / "backup"))
    file = next((tmp_path / "backup" / "files" / "datasets").rglob("data.csv"))
    file.write_bytes(b"changed")
    code, output = target.attempt("restore", str(tmp_path / "backup"))
    assert code == 1
    assert "of the backup is corrupt. Nothing was restored" in output
    assert target.rows()["dataset"] == []


@of_sqlite
def test_corrupt_table_of_a_backup_restores_nothing(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, target = services
    fill(source, tmp_path)
    source.run("backup", str(tmp_path / "backup"))
    table = tmp_path / "backup" / "tables" / "dataset.jsonl"
    table.write_text(table.read_text().replace("patients", "citizens"))
    assert "The table dataset of the backup is corrupt" in target.attempt("restore", str(tmp_path / "backup"))[1]
    assert target.rows()["dataset"] == []


@of_sqlite
def test_other_folders_and_schemas_are_refused(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, target = services
    fill(source, tmp_path)
    path = str(tmp_path / "backup")
    assert "There is no complete backup" in target.attempt("restore", path)[1]
    source.run("backup", path)
    assert "is not empty. Choose a new folder" in source.attempt("backup", path)[1]
    description = tmp_path / "backup" / "backup.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "revision": "9999"}))
    assert "with schema 9999; this release has" in target.attempt("restore", path)[1]


@of_sqlite
def test_corrupt_file_of_the_service_fails_the_backup(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, _ = services
    first = fill(source, tmp_path)
    (tmp_path / "changed").write_bytes(b"changed")
    source.storage.put(storage_keys.attempt_file(first.job_id, 1, "model.onnx"), tmp_path / "changed")
    code, output = source.attempt("backup", str(tmp_path / "backup"))
    assert code == 1
    assert "is corrupt. Delete its dataset, version or prediction" in output


@of_sqlite
def test_backup_is_of_one_instant_while_rows_are_written(
    services: tuple[Service, Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = services
    fill(source, tmp_path)
    before = source.rows()
    put = Storage.put

    def put_and_write(storage: Storage, key: str, path: Path) -> object:
        if key.startswith("tables/"):  # another client commits between the tables
            with source.engine.begin() as connection:
                rows = [{"model_name": "late", "base": {}, "params": {}}]
                connection.execute(insert(JobRow), rows)
        return put(storage, key, path)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put", put_and_write)
        source.run("backup", str(tmp_path / "backup"))
    target.run("restore", str(tmp_path / "backup"))
    assert target.rows() == before


@of_sqlite
def test_active_jobs_are_queued_again_without_checkpoints(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, target = services
    with source.sessions.begin() as session:
        running = make_job(session, status=JobStatus.RUNNING, checkpoint="jobs/x/1/checkpoint-5.pt", attempt=3, max_attempts=3)
        cancelling = make_job(session, status=JobStatus.CANCELLING)
        make_job(session, status=JobStatus.SUCCEEDED, kind=TRIAL.name, parent_id=running.id, trial="1-0-mcc")
    source.run("backup", str(tmp_path / "backup"))
    target.run("restore", str(tmp_path / "backup"))
    with target.sessions() as session:
        assert session.scalar(select(func.count()).select_from(JobRow)) == 2
        queued, cancelled = session.get_one(JobRow, running.id), session.get_one(JobRow, cancelling.id)
        assert (queued.status, queued.checkpoint, queued.lease_owner, queued.max_attempts) == ("queued", None, None, 4)
        assert cancelled.status == "cancelled"


@of_sqlite
def test_storage_command_prints_usage_and_prunes(services: tuple[Service, Service], tmp_path: Path) -> None:
    source, _ = services
    fill(source, tmp_path)
    output = source.run("storage")
    assert "digits" in output
    assert "0 unreferenced files" in output
    assert "0 deleted files" in source.run("storage", "--prune")
