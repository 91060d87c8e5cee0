"""ONNX Runtime sessions: the only module that sets their options. The server, the exporter and batch predictions share it."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.modalities.base import Encoded

Device = Literal["cpu", "cuda"]
RunGraph = Callable[[list[str], Encoded, onnxruntime.RunOptions], list[NDArray[np.float32]]]

OUTPUTS = ["logits"]
PROVIDERS: dict[Device, list[str]] = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}
LOG_ERRORS = 3


class DeviceUnavailableError(RuntimeError):
    """ONNX Runtime cannot use the device of the settings."""


def supports(device: Device) -> bool:
    """Return whether the installed ONNX Runtime was built for the device."""
    return PROVIDERS[device][0] in onnxruntime.get_available_providers()


def require_support(device: Device) -> None:
    """Raise DeviceUnavailableError if the installed ONNX Runtime was not built for the device."""
    if not supports(device):
        available = ", ".join(onnxruntime.get_available_providers())
        raise DeviceUnavailableError(
            f"This ONNX Runtime has no {PROVIDERS[device][0]}, only {available}: install `onnxruntime-gpu`."
        )


def open_session(path: Path, threads: int, device: Device = "cpu", *, spin: bool = True) -> onnxruntime.InferenceSession:
    """Load a graph. A session that cannot start on the GPU runs on the CPU: see `device_of`.

    With `spin`, threads poll for a while before they sleep: faster alone, but they take cores from other sessions.
    """
    if device == "cuda":
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_ERRORS
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=PROVIDERS[device])


def device_of(session: onnxruntime.InferenceSession) -> Device:
    """Return the device on which the session runs."""
    return "cuda" if session.get_providers()[0] == PROVIDERS["cuda"][0] else "cpu"


def require_device(session: onnxruntime.InferenceSession, device: Device) -> None:
    """Raise DeviceUnavailableError if the session fell back to another device."""
    if device_of(session) != device:
        raise DeviceUnavailableError(f"{PROVIDERS[device][0]} could not be started; ONNX Runtime would have used the CPU.")


def unchecked_run(session: onnxruntime.InferenceSession) -> RunGraph:
    """Return the native function behind `session.run`, whose checks take as long as a small network."""
    run: RunGraph = session._sess.run  # noqa: SLF001  # the public method cannot skip its checks
    return run
