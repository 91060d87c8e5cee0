"""ONNX Runtime sessions: options and missing devices."""

from pathlib import Path

import onnxruntime
import pytest

from app.serving import onnx_session
from app.serving.onnx_session import DeviceUnavailableError, device_of, open_session, require_device
from tests.support.published_models import export_network


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_network("tabular", ["no", "yes"], tmp_path_factory.mktemp("tabular")).folder / "model.onnx"


def test_session_has_the_requested_options(graph: Path) -> None:
    options = open_session(graph, 2, spin=False).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.skipif(onnx_session.supports("cuda"), reason="the installed ONNX Runtime is built for GPUs")
def test_session_without_gpu_support_runs_on_the_cpu(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        session = open_session(graph, 1, "cuda")
    assert device_of(session) == "cpu"
    with pytest.raises(DeviceUnavailableError, match="CUDAExecutionProvider could not be started"):
        require_device(session, "cuda")
