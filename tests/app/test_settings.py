import os
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.networks.mlp import MlpParams
from app.services.multipart_uploads import STALE_SECONDS, remove_stale
from app.settings import Settings


def test_heartbeat_as_long_as_the_lease_is_rejected() -> None:
    with pytest.raises(ValidationError, match="twice heartbeat_seconds"):
        Settings(_env_file=None, lease_seconds=9, heartbeat_seconds=5)


def test_only_old_uploads_are_deleted(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("upload-old", "upload-new", "other"))
    for path in (old, new, other):
        path.touch()
    long_ago = time.time() - STALE_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (long_ago, long_ago))

    remove_stale(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "upload-new"]


def test_network_that_exceeds_the_memory_limit_is_rejected() -> None:
    assert MlpParams(width=8192, layers=1).width == 8192
    with pytest.raises(ValidationError, match="width \\* width \\* layers"):
        MlpParams(width=8192, layers=16)
