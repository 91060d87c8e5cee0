"""Slow batch predictions, so that tests have time to kill them."""

import time
from typing import Any

from worker.batch_prediction import onnx_model
from worker.batch_prediction.onnx_model import EncodedRows, OnnxModel

ROWS = 100


def slow_down(seconds: float) -> None:
    """Set the rows per run, and add a pause after each run."""
    onnx_model.CHUNK_ROWS = range(ROWS, ROWS)
    original = OnnxModel.predict

    def predict_slowly(self: OnnxModel, chunk: EncodedRows) -> Any:
        time.sleep(seconds)
        return original(self, chunk)

    OnnxModel.predict = predict_slowly  # type: ignore[method-assign]
