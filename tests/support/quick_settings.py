"""Settings with short intervals, for quick tests."""

import shutil
from pathlib import Path

from app.settings import Settings


def data_folder(folder: Path, empty_sqlite: Path) -> Path:
    """Return a data folder with an empty database."""
    data = folder / "data"
    data.mkdir()
    shutil.copy(empty_sqlite, data / "isthmus.db")
    return data


def quick_settings(**fields: object) -> Settings:
    """Return settings with short intervals. Fake trainers need no libraries, so none are preloaded."""
    times = {"lease_seconds": 20, "heartbeat_seconds": 0.3, "sweep_seconds": 0.5, "resend_seconds": 2, "cancel_grace_seconds": 10}
    return Settings.model_validate({**times, "preload": False, **fields})
