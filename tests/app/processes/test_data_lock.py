"""One embedded service at a time uses a data folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.processes.data_lock import LOCK_FILE, DataFolderInUseError, locked, require_unlocked

HOLDER = """
import sys
from pathlib import Path
from app.processes.data_lock import locked
with locked(Path(sys.argv[1]), 8473):
    print("locked", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_folder_in_use_is_reported_with_its_owner(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(DataFolderInUseError) as caught, locked(tmp_path, 8000):
            pytest.fail("two services have the folder")
        assert f"is in use by process {process.pid} on port 8473." in str(caught.value)
        with pytest.raises(DataFolderInUseError, match="kill"):
            require_unlocked(tmp_path)
        process.kill()


def test_folder_of_a_killed_service_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        require_unlocked(tmp_path)
        with locked(tmp_path, 8000):
            assert f'"pid": {os.getpid()}' in (tmp_path / LOCK_FILE).read_text()


def test_check_of_an_unused_folder_writes_nothing(tmp_path: Path) -> None:
    require_unlocked(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
