"""Values of other libraries as values of JSON. Their libraries are never imported."""

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_image(value: Any) -> bool:
    """Return whether this is an image of Pillow."""
    return hasattr(value, "save") and hasattr(value, "mode") and hasattr(value, "size")


def png(image: Any) -> bytes:
    """Return the content of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """Return a value of JSON. Images and paths of files become base64, missing numbers None, times ISO texts."""
    if isinstance(value, str | int | bool | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if is_image(value):
        return base64.b64encode(png(value)).decode()
    if isinstance(value, bytes | Path):
        return base64.b64encode(value if isinstance(value, bytes) else value.read_bytes()).decode()
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy
        return plain(value.tolist())
    if type(value).__name__ in ("NAType", "NaTType"):  # missing values of pandas
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
