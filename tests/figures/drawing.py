"""What the tests of the figures share."""

import numpy as np

NONE = {"value": None, "low": None, "high": None}
RNG = np.random.default_rng(0)
LABELS = np.repeat([1, 0], [23, 77])
RISKS = 1 / (1 + np.exp(1.2 - 0.5 * LABELS - RNG.normal(0, 0.8, (5, 100))))


def score(value, half=0.1):
    return {"value": value, "low": value - half, "high": value + half}


def drawn(figure):
    """Lay the figure out, where warnings would come, and return all it says."""
    figure.draw_without_rendering()
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_visible())
    return "\n".join(text.get_text() for text in texts)
