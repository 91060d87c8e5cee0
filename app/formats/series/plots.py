"""Small plots of series as PNG data URLs."""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw

from app.formats.series.recording import Values

WIDTH, HEIGHT = 192, 96
MAX_CHANNELS = 8
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")


def plot(values: Values) -> str:
    """Return a plot of the first channels (channels, time), each in its own colour, on one scale."""
    shown = np.nan_to_num(values[:MAX_CHANNELS], nan=float(np.nanmean(values)) if np.isfinite(values).any() else 0.0)
    low, high = float(shown.min()), float(shown.max())
    scaled = (high - shown) / ((high - low) or 1.0) * (HEIGHT - 1)
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    columns = np.linspace(0, WIDTH - 1, shown.shape[1])
    for channel, colour in zip(scaled, _COLOURS, strict=False):
        draw.line(list(zip(columns.tolist(), channel.tolist(), strict=True)), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
