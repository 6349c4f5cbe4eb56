"""Data and helper functions for the tests of the figures."""

import numpy as np

from hemexp.files.result import Score

NONE = Score()
RNG = np.random.default_rng(0)
LABELS = np.repeat([1, 0], [23, 77])
RISKS = 1 / (1 + np.exp(1.2 - 0.5 * LABELS - RNG.normal(0, 0.8, (5, 100))))


def score(value, half=0.1):
    return Score(value=value, low=value - half, high=value + half)


def drawn(figure):
    """Lay out the figure, which would raise warnings, and return its texts."""
    figure.draw_without_rendering()
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_visible())
    return "\n".join(text.get_text() for text in texts)
