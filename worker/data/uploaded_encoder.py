"""The uploaded encoder of a job, unpacked for the library that loads it."""

from sqlalchemy import select

from app.db.encoder_tables import EncoderRow
from app.encoders.catalogue import UPLOAD
from app.formats.checkpoint_archives import extract
from worker.data.attempt_context import AttemptContext
from worker.networks.checkpoint_files import UploadedEncoder, uploads
from worker.protocol.progress import BadParameters


def unpack_uploaded_encoder(context: AttemptContext, pretrained: str) -> None:
    """Unpack the encoder with this id if it is an upload. Raise BadParameters if it was deleted."""
    if not pretrained.startswith(UPLOAD):
        return
    query = select(EncoderRow).where(
        EncoderRow.project == context.job.project, EncoderRow.name == pretrained.removeprefix(UPLOAD)
    )
    with context.sessions() as session:
        row = session.scalars(query).one_or_none()
    if row is None:
        raise BadParameters(f"The encoder {pretrained} was deleted. Upload it again, or submit a job with another one.")
    folder = context.folder / "encoder"
    with context.storage.local(row.storage_key) as path:
        extract(path, folder)
    uploads[pretrained] = UploadedEncoder(folder, row.licence)
