"""Short ways to check and read a file in tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.modalities import MODALITIES
from app.modalities.base import Chunk, DatasetFile, Encoded
from tests.support import factories


def dataset(folder: Path, filename: str, content: bytes, modality: str, **options: Any) -> DatasetFile:
    """Check a file and return it as a dataset."""
    kind = MODALITIES[modality]
    path = factories.write(folder, filename, content)
    return checked(path, modality, kind.suffixes["." + filename.partition(".")[2]], **options)


def checked(path: Path, modality: str, format: str, **options: Any) -> DatasetFile:
    kind = MODALITIES[modality]
    read = kind.options.model_validate(options)
    profile = kind.check(path, format, read)
    return DatasetFile(path, format, read, profile.classes is not None, profile.details)


def labels(chunks: Sequence[Chunk]) -> list[str | None]:
    return [label for chunk in chunks for label in chunk.labels or ()]


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Concatenate encoded chunks."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
