"""A picture as pixels, rendered once, and as a file."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave


def save_png(figure: Figure, path: Path) -> tuple[int, int]:
    """Write a figure as PNG, and return its height and width in pixels."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, pixels)
    return pixels.shape[0], pixels.shape[1]
