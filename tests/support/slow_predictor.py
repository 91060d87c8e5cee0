"""Makes the batch predictions of this process slow, so that there is time to hurt them."""

import time
from typing import Any

from worker.batch_prediction import onnx_model
from worker.batch_prediction.onnx_model import EncodedRows, OnnxModel

ROWS = 100


def slow_down(seconds: float) -> None:
    """So few rows at once, and a pause after each time."""
    onnx_model.CHUNK_ROWS = range(ROWS, ROWS)
    answered = OnnxModel.predict

    def slowly(self: OnnxModel, piece: EncodedRows) -> Any:
        time.sleep(seconds)
        return answered(self, piece)

    OnnxModel.predict = slowly  # type: ignore[method-assign]
