"""Durable predictions: part files in the storage, and checkpoints that list them.

A part is stored before the checkpoint that lists it. Both are stored under their attempt, so that an attempt without a lease
cannot change the files of another one. After a crash, the next attempt continues after the last row of a checkpoint.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl
from pydantic import BaseModel

from app.schemas.batch_predictions import Format
from app.storage import Storage, StoredFile
from worker.batch_prediction.output_rows import concatenate_parts, write_part
from worker.data.checkpoint_rotation import CheckpointRotation
from worker.protocol.progress import BadParameters


class PartsCheckpoint(BaseModel):
    """Content of a checkpoint: number of rows done, number of failed ones, and the parts in order."""

    digest: str
    columns: list[str] = []
    rows: int = 0
    failed: int = 0
    parts: list[str] = []


class OutputParts:
    """The parts of one attempt, stored under `prefix`."""

    def __init__(
        self, storage: Storage, prefix: str, folder: Path, format: Format, digest: str, columns: Sequence[str] = ()
    ) -> None:
        """Start without parts. `digest` identifies the prediction; checkpoints of others are rejected."""
        self._storage, self._prefix, self._folder, self._format = storage, prefix, folder, format
        self._rotation = CheckpointRotation(storage)
        self.state = PartsCheckpoint(digest=digest, columns=list(columns))

    def resume(self, checkpoint: str) -> None:
        """Continue from a checkpoint. Raise BadParameters for one of another prediction.

        Raises FileNotFoundError if its columns differ, because another release started the prediction.
        """
        with self._storage.open(checkpoint) as file:
            state = PartsCheckpoint.model_validate_json(file.read())
        if state.digest != self.state.digest:
            raise BadParameters("The checkpoint belongs to another prediction and cannot be resumed.")
        if state.columns != self.state.columns:
            raise FileNotFoundError(f"{checkpoint} has other columns")
        self.state = state
        self._rotation.add(checkpoint)

    def store(self, frames: Sequence[pl.DataFrame], failed: int) -> str:
        """Store the next rows and return the key of the checkpoint that includes them."""
        rows = self.state.rows + sum(frame.height for frame in frames)
        path = self._folder / f"part-{rows}.{self._format}"
        write_part(pl.concat(frames), path, self._format)
        key = f"{self._prefix}/{path.name}"
        self._put(key, path)
        parts = [*self.state.parts, key]
        self.state = self.state.model_copy(update={"rows": rows, "failed": self.state.failed + failed, "parts": parts})
        return self._checkpoint()

    def concatenate(self, schema: pl.Schema) -> StoredFile:
        """Store the output file, which contains all parts."""
        path = self._folder / f"output.{self._format}"
        with self._local() as parts:
            concatenate_parts(parts, schema, path, self._format)
        return self._put(f"{self._prefix}/{path.name}", path)

    def _checkpoint(self) -> str:
        """Store a checkpoint. Delete old ones except the last few, which the database may still reference."""
        path = self._folder / f"checkpoint-{self.state.rows}.json"
        path.write_text(self.state.model_dump_json())
        key = f"{self._prefix}/{path.name}"
        self._put(key, path)
        self._rotation.add(key)
        return key

    def _put(self, key: str, path: Path) -> StoredFile:
        stored = self._storage.put(key, path)
        path.unlink()
        return stored

    @contextmanager
    def _local(self) -> Iterator[list[Path]]:
        with ExitStack() as stack:
            yield [stack.enter_context(self._storage.local(key)) for key in self.state.parts]
