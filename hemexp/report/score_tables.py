"""Tables of calibration and net benefit, for the pages of a run and of a validation."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from hemexp.files.result import Calibration
from hemexp.formatting import num, percent, score_text
from hemexp.report.blocks import Block, table

_CALIBRATION = (
    "Intercept below 0: the risks are too high on average; above 0: too low. Slope below 1: high risks are too high "
    "and low risks are too low, a sign of overfitting; below 0: patients with higher risks had the outcome less often. "
    "Scaled Brier score: the share of uncertainty that the model removes; below 0 is worse than the same risk for all."
)
_NET_BENEFIT = (
    "Correctly treated expansions per patient, minus false alarms weighted by the threshold. The threshold is the risk "
    "from which one would treat. These curves have no intervals; ignore small differences between them."
)


def calibration_table(parts: Mapping[str, Calibration | None]) -> Block | None:
    """Return the table of calibration with a column for each group of patients that has one."""
    known = {name: part for name, part in parts.items() if part}
    if not known:
        return None
    rows = [
        ["calibration intercept", *(score_text(part.intercept) for part in known.values()), "0"],
        ["calibration slope", *(score_text(part.slope) for part in known.values()), "1"],
        ["scaled Brier score", *(score_text(part.scaled_brier) for part in known.values()), "1"],
        ["mean predicted risk", *(percent(part.mean_risk) for part in known.values()), "as observed"],
        ["observed share of expansion", *(percent(part.observed) for part in known.values()), ""],
    ]
    return table("Calibration (95 % interval)", ["", *known, "ideal"], rows, _CALIBRATION)


def net_benefit_table(curve: pd.DataFrame | None, name: Callable[[str], str]) -> Block | None:
    """Return the folded table of the net benefit at some thresholds.

    Args:
        curve: ``decision_curve.csv``.
        name: returns the readable name of a strategy.
    """
    if curve is None or not len(curve):
        return None
    wide = curve.pivot_table(index="strategy", columns="threshold", values="net_benefit", sort=False)
    grid = np.asarray(wide.columns, dtype=float)
    near = sorted({int(np.abs(grid - at).argmin()) for at in (0.1, 0.2, 0.3, 0.4)})
    rows = [[name(strategy), *(num(wide.iloc[i, j], 3) for j in near)] for i, strategy in enumerate(wide.index)]
    head = ["strategy", *(f"at {100 * grid[j]:.0f} %" for j in near)]
    return table("", head, rows, _NET_BENEFIT, folded="Net benefit at some thresholds")
