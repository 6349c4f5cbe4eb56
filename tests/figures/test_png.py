from pathlib import Path

import numpy as np
from matplotlib.image import imread

from hemexp.figures.png import save_png
from hemexp.figures.style import house_style, new_axes


def test_the_pixels_returned_are_those_of_the_file_and_those_that_matplotlib_would_save(tmp_path: Path):
    def drawn():
        with house_style():
            figure, axes = new_axes(3, 2)
            axes.plot([0, 1], [1, 0], label="falling")
            axes.set(title="a line", xlabel="x")
            axes.legend()
        return figure

    pixels = save_png(drawn(), tmp_path / "figures" / "line.png")
    drawn().savefig(tmp_path / "reference.png")
    assert pixels.shape == (300, 450, 3)
    for path in (tmp_path / "figures" / "line.png", tmp_path / "reference.png"):
        np.testing.assert_array_equal((imread(path)[..., :3] * 255).round().astype(np.uint8), pixels)
