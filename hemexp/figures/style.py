"""Common style of the figures, and saving them as PNG."""

import io
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from PIL import Image

from hemexp.files.writing import write_bytes

NO, YES, GREY = "#3b6fb6", "#c8442c", "#8a8a8a"  # outcomes; GREY: references
OUTCOMES = ((0, NO, "no expansion"), (1, YES, "expansion"))
MODEL, BASELINE = "#00755e", "#c98200"  # the model of the run, and the baseline to compare it with
SMALL = 9  # points: readable when a figure of 7 inches is shown 700 pixels wide
_PARTS = {
    "NCCT_original_firstorder_": "density ",
    "original_shape_": "",
    "HM_": "hematoma ",
    "Hemo_": "hematoma ",
    "ED_": "edema ",
    "_R_Ratio": " right share",
    "_L_Ratio": " left share",
}
_FONTS = (  # with letters of more languages; used where they are installed
    "Microsoft YaHei", "SimHei", "SimSun", "PingFang SC", "Hiragino Sans GB", "Noto Sans CJK SC", "Noto Sans CJK JP",
    "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Malgun Gothic", "Yu Gothic",
    "Droid Sans Fallback", "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
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
    "axes.titley": 1.0,  # else Matplotlib measures all ticks again at every step, in case they are above the axes
}


def new_axes(
    width: float, height: float, margins: tuple[float, float, float, float] | None = None
) -> tuple[Figure, Axes]:
    """Return an empty figure and its axes.

    Args:
        width: of the figure in inches.
        height: of the figure in inches.
        margins: left, bottom, right and top in inches, where the texts around the axes have a known size. None:
            Matplotlib measures the texts, which takes as long as drawing.
    """
    if margins is None:
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()
    left, bottom, right, top = margins
    figure = Figure(figsize=(width, height))
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    return figure, figure.add_axes(box)


def margin_text(axes: Axes, height: float, text: str, bold: bool = False, size: float = SMALL) -> None:
    """Write text to the right of the axes, at a height in data units."""
    weight = "bold" if bold else "normal"
    axes.annotate(
        text, (1, height), (8, 0), ("axes fraction", "data"), "offset points",
        va="center", fontsize=size, fontweight=weight, annotation_clip=False,
    )  # fmt: skip


def name_rows(
    axes: Axes, names: Sequence[str], size: float = SMALL, grid: bool = False, bold: Sequence[bool] = ()
) -> None:
    """Write the names of rows at the heights 0, -1, …, and fit the vertical axis to the rows."""
    shown = ["".join(letter if can_draw(letter) else "?" for letter in name) for name in names]
    axes.set_yticks(-np.arange(len(names)), shown, fontsize=size)
    axes.set_ylim(-max(len(names), 1) + 0.4, 0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=grid, axis="y")
    for tick, strong in zip(axes.get_yticklabels(), bold, strict=False):
        tick.set_fontweight("bold" if strong else "normal")


def write_title(figure: Figure, text: str, size: float = 11) -> None:
    """Write the title at the left edge of the figure, above the labels of its rows."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=size)


def stamp(figure: Figure, text: str) -> None:
    """Write a line below a figure, such as the verdict of an incomplete run: figures are shown without their run."""
    band = 0.17 / figure.get_figheight()  # inches
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, band, 1, 1 - band))
    else:
        for axes in figure.axes:
            left, bottom, width, height = axes.get_position(original=True).bounds
            axes.set_position((left, band + (1 - band) * bottom, width, (1 - band) * height))
    figure.text(0.01, 0.25 * band, text, fontsize=7, color=GREY)


def write_note(axes: Axes, text: str, height: float = 0.55) -> None:
    """Write into the axes why there is nothing to draw."""
    axes.text(0.5, height, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def change_words(figure: Figure, change: Callable[[str], str]) -> None:
    """Change every text of a figure, as for an outcome other than expansion."""
    for text in figure.findobj(Text):
        text.set_text(change(text.get_text()))
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        changed = [change(label) for label in labels]
        if changed != labels:  # the names of rows, which are written again when the figure is drawn
            axis.set_ticks(axis.get_ticklocs(), changed)


def readable(name: str) -> str:
    """Return the name of an input in words: ``edema mesh volume`` for ``ED_original_shape_MeshVolume``."""
    for part, text in _PARTS.items():
        name = name.replace(part, text)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z0-9])(?=[A-Z][a-z])", " ", name.replace("_", " "))
    return " ".join(word if word.isupper() else word.lower() for word in spaced.split())


@cache
def _list_fonts() -> list[str]:
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FONTS if name in installed)]


def can_draw(text: str) -> bool:
    """Return whether the installed fonts have all letters of a text."""
    if text.isascii():
        return True
    fonts = [get_font(fontManager.findfont(name)) for name in _list_fonts()]
    return all(any(font.get_char_index(ord(letter)) for font in fonts) for letter in text)


def house_style() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn."""
    return mpl.rc_context({**_STYLE, "font.family": _list_fonts()})


def save_png(figure: Figure, path: Path) -> tuple[int, int]:
    """Write a figure as PNG, and return its height and width in pixels."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    content = io.BytesIO()
    image.save(content, "png", compress_level=3)
    write_bytes(path, content.getvalue())
    return image.height, image.width
