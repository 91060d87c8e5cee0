"""The encoder that a job starts from if it leaves the choice to the service.

Decision: images larger than MIN_SIDE pixels start from an installed frozen encoder. Context: networks of this size learn little
from a few thousand photographs, and take minutes on a CPU. From photographs of a shop to those of a camera, `auto` on features of
EfficientNet-Lite0 gives 93 % in 2 minutes; the default network gives 20 % in 13 minutes. Consequences: without an encoder, a
warning names the command that installs one. For texts, encoders are not the default: TF-IDF is better on reviews.
"""

from app.db.tables import DatasetRow
from app.encoders.catalogue import INSTALL_COMMAND, UPLOAD, Speed, choose, known
from app.formats.data_warnings import DataWarning
from app.networks import default_network, pretrained_network
from app.networks.base import NetworkParams
from app.schemas.jobs import PretrainedBase

AUTO = "auto"
MIN_SIDE = 48
"""Images with a larger shorter side start from an encoder."""


def default_base(source: DatasetRow) -> NetworkParams:
    """Return the network of a job that names none."""
    return _automatic(source.modality, "fast") if _is_large(source) else default_network(source.modality)


def named_base(modality: str, base: PretrainedBase) -> NetworkParams:
    """Return the network of a job that only names an encoder."""
    if base.pretrained == AUTO:
        return _automatic(modality, base.speed)
    if known(base.pretrained) is not None or base.pretrained.startswith(UPLOAD):
        return _frozen(modality, base.pretrained)
    return pretrained_network(modality, base.pretrained)


def missing_encoder(base: object, source: DatasetRow) -> list[DataWarning]:
    """Return a warning if the job would start from an encoder, but none is installed."""
    speed: Speed = "fast"
    if isinstance(base, PretrainedBase) and base.pretrained == AUTO:
        speed = base.speed
    elif base is not None or not _is_large(source):
        return []
    if choose(source.modality, speed) is not None:
        return []
    message = (
        f"No pretrained encoder for {source.modality} data is installed, so the job trains a network from scratch. An encoder is "
        f"usually more accurate and faster. Install one for the server and the workers: {INSTALL_COMMAND}"
    )
    return [DataWarning("no_encoder", message, "/base")]


def _is_large(source: DatasetRow) -> bool:
    sides = [source.profile.get(name, [0, 0])[1] for name in ("height", "width")]
    return source.modality == "image" and min(sides) > MIN_SIDE


def _automatic(modality: str, speed: Speed) -> NetworkParams:
    encoder = choose(modality, speed)
    return default_network(modality) if encoder is None else _frozen(modality, encoder.id)


def _frozen(modality: str, encoder: str) -> NetworkParams:
    network = pretrained_network(modality, encoder)
    return type(network).model_validate({"network": network.network, "pretrained": encoder, "frozen": True})
