"""Thresholds of risk, and how well the training part knows the risk of each patient outside it."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.datamodule import ExpansionDataModule
from hemexp.evaluation.cross_validation import CrossValidated
from hemexp.evaluation.thresholds import choose_thresholds, score_thresholds
from hemexp.evaluation.venn_abers import venn_abers_interval

Array = np.ndarray[Any, Any]

_NOTE = (
    "A Venn-Abers pair: the risk as the training part's out-of-fold risks calibrate it, had this patient no "
    "expansion, and had the patient one. If the model were that of the folds and patients to come like those "
    "seen, one of the two would be calibrated. The gap says how much one patient more would change; it is no "
    "95 % interval, and a model that knows nothing has narrow ones. Where the pair spans Youden's threshold, "
    "calibrated alike, the model abstains."
)


def single_patients(
    data: ExpansionDataModule, labels: Array, risks: Array, within: CrossValidated
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fix thresholds on the training part, try them on the test part, and pair each patient outside it with its bounds.

    Args:
        data: set up.
        labels: of all patients.
        risks: of all patients, from the run's model.
        within: the model on folds of the training part.

    Shape:
        labels, risks: (N,).

    Returns:
        The blocks ``thresholds`` and ``uncertainty`` of result.json, and the table of uncertainty.csv.
    """
    known, unseen = labels[within.people], within.probabilities[:, within.people]
    thresholds = choose_thresholds(known, unseen)
    test = data.split.positions("test")
    threshold = thresholds["youden"]
    # one repeat: the risks of others are of single networks too
    low, high = venn_abers_interval(known, unseen[0], np.append(risks, threshold))
    # the threshold, on the scale of the pairs
    calibrated = float(high[-1] / (1 - low[-1] + high[-1]))
    table = data.labels[["patient_id"]].assign(
        role=data.split.roles,
        label=data.labels["expansion"],
        probability=risks,
        low=low[:-1],
        high=high[:-1],
        abstains=(low[:-1] < calibrated) & (calibrated < high[:-1]),
    )
    table = table[table["role"] != "train"]
    tested = table[table["role"] == "test"]
    uncertainty = {
        "num_patients": len(tested),
        "num_abstained": int(tested["abstains"].sum()),
        "median_width": float((tested["high"] - tested["low"]).median()) if len(tested) else None,
        "threshold": threshold,
        "calibrated_threshold": calibrated,
        "coverage_note": _NOTE,
    }
    return {"thresholds": score_thresholds(thresholds, labels[test], risks[test]), "uncertainty": uncertainty}, table
