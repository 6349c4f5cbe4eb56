from pathlib import Path

import numpy as np
from matplotlib.image import imread

from hemexp.figures.style import house_style, new_axes, save_png


def test_the_png_has_the_same_pixels_as_one_saved_by_matplotlib(tmp_path: Path):
    def drawn():
        with house_style():
            figure, axes = new_axes(3, 2)
            axes.plot([0, 1], [1, 0], label="falling")
            axes.set(title="a line", xlabel="x")
            axes.legend()
        return figure

    assert save_png(drawn(), tmp_path / "figures" / "line.png") == (300, 450)
    drawn().savefig(tmp_path / "reference.png")
    ours, theirs = (imread(tmp_path / name)[..., :3] for name in ("figures/line.png", "reference.png"))
    np.testing.assert_array_equal(ours, theirs)
