"""Makes the bulk predictions of this process slow, so that there is time to hurt them."""

import time
from typing import Any

from worker.batch_prediction import onnx_model as asking
from worker.batch_prediction.onnx_model import Asked, Piece

ROWS = 100


def slow_down(seconds: float) -> None:
    """So few rows at once, and a pause after each time."""
    asking.CHUNK_ROWS = range(ROWS, ROWS)
    answered = Asked.answered

    def slowly(self: Asked, piece: Piece) -> Any:
        time.sleep(seconds)
        return answered(self, piece)

    Asked.answered = slowly  # type: ignore[method-assign]
