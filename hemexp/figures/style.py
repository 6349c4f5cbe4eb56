"""How all pictures look."""

from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

NO, YES, GREY = "#3b6fb6", "#c8442c", "#8a8a8a"
_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
}


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of that many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def house_style() -> AbstractContextManager[None]:
    """Return the context in which pictures are drawn."""
    return mpl.rc_context(_STYLE)
