"""What refitting the whole recipe on bootstrap samples says: optimism of the scores, instability of the risks."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.calibration import calibration_slope
from hemexp.evaluation.scores import CONFIDENCE, Array, auroc, brier

_UNDEFINED = 0.1  # share of refits that may be left out of a mean


def optimism(labels: Array, apparent: Array, refits: Array, counts: Array) -> dict[str, Any]:
    """Return Harrell's optimism of AUROC, Brier score and calibration slope.

    Optimism is the mean over refits of the score on the bootstrap sample minus the score on the original patients
    (Harrell et al., Statistics in Medicine 1996;15:361-387); the corrected score is the apparent one less it. A refit
    whose score is not defined (one outcome only, or risks that separate the outcomes, which have no slope) is left out;
    if that happens to more than a tenth, or to the apparent score, the results that need it are None.

    Args:
        labels: 1 or 0.
        apparent: risks of the model for the patients it was fitted to.
        refits: risks of all these patients, from the model refitted on each bootstrap sample.
        counts: how often each patient is in each sample.

    Shape:
        labels, apparent: (N,); refits, counts: (B, N).
    """
    y = labels.astype(float)
    everybody = np.ones((1, len(y)))
    block: dict[str, Any] = {"num_refits": len(refits)}
    for name, measure in {"auroc": auroc, "brier": brier, "calibration_slope": calibration_slope}.items():
        with np.errstate(invalid="ignore", divide="ignore"):  # an AUROC of one outcome is 0 / 0
            value = float(measure(y, apparent, everybody)[0])
            pairs = [measure(y, p, np.vstack([count, everybody])) for p, count in zip(refits, counts, strict=True)]
        gaps = np.array([on_sample - on_all for on_sample, on_all in pairs])
        defined = gaps[np.isfinite(gaps)]
        mean = float(defined.mean()) if len(defined) >= max(1, (1 - _UNDEFINED) * len(gaps)) else None
        block[name] = {
            "apparent": value if np.isfinite(value) else None,
            "optimism": mean,
            "corrected": value - mean if mean is not None and np.isfinite(value) else None,
        }
    return block


def instability(risks: Array, refits: Array, threshold: float = 0.5) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return how much patients' risks change with the sample (Riley and Collins, Biometrical Journal 2023;65:2200302).

    Args:
        risks: of the model.
        refits: of the same patients, from the model refitted on each bootstrap sample.
        threshold: of risk; classification instability is the share of refits that put a patient on the other side of it
            than the model does, averaged over patients.

    Shape:
        risks: (N,); refits: (B, N).

    Returns:
        The means over patients (the interval's width: the median), and a row a patient with the interval that holds
        95 % of the refits and the mean absolute difference from the model.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(refits, [tail, 1 - tail], axis=0)
    difference = np.abs(refits - risks).mean(axis=0)
    changed = (refits >= threshold) != (risks >= threshold)
    block = {
        "num_refits": len(refits),
        "mean_absolute_difference": float(difference.mean()),
        "median_interval_width": float(np.median(high - low)),
        "classification_instability": float(changed.mean()),
    }
    table = {"probability": risks, "low": low, "high": high, "mean_absolute_difference": difference}
    return block, pd.DataFrame(table)
