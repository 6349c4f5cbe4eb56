"""Performance within clinical subgroups, cut where the literature cuts."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.calibration import resample
from hemexp.evaluation.scores import CONFIDENCE, Array, Score, auroc

FEWEST = 10  # of either outcome; an AUROC of fewer says nothing


def subgroups_of(patients: pd.DataFrame) -> dict[str, Array]:
    """Return who belongs to each subgroup; a patient whose value is missing belongs to neither side.

    Args:
        patients: a row a patient, with the columns ``sex``, ``age``, ``HM_volume`` (10^-3 mL), ``onset_to_first_scan``
            (hours) and ``hypertension``.

    Returns:
        ``name: value`` to a mask of the rows.
    """
    columns = ["sex", "age", "HM_volume", "onset_to_first_scan", "hypertension"]
    sex, age, volume, hours, hypertension = (pd.to_numeric(patients[name]).to_numpy(float) for name in columns)
    return {
        # Sex and Gender Equity in Research (Heidari et al., Research Integrity and Peer Review 2016;1:2)
        "sex: male": sex == 1,
        "sex: female": sex == 2,
        # INTERACT2 (Anderson et al., N Engl J Med 2013;368:2355-2365)
        "age: < 65 years": age < 65,
        "age: >= 65 years": age >= 65,
        # the ICH score (Hemphill et al., Stroke 2001;32:891-897)
        "volume: < 30 mL": volume < 30_000,
        "volume: >= 30 mL": volume >= 30_000,
        # early growth was described in patients first scanned within 3 hours (Brott et al., Stroke 1997;28:1-5)
        "onset to scan: <= 3 h": hours <= 3,
        "onset to scan: > 3 h": hours > 3,
        # INTERACT2, as above
        "hypertension: yes": hypertension == 1,
        "hypertension: no": hypertension == 0,
    }


def subgroup_scores(
    masks: dict[str, Array], labels: Array, probabilities: Array, num_resamples: int = 500
) -> list[dict[str, Any]]:
    """Return a row a subgroup: its patients and events, AUROC averaged over repeats, mean risk and share observed.

    The interval is the percentile interval over resamples of the subgroup's patients, with all their repeats (fewer
    resamples for a large cohort: `calibration.resample`). With
    fewer than 10 patients of either outcome the AUROC is None and the note says so.

    Shape:
        each mask, labels: (N,); probabilities: (R, N), out of fold.
    """
    rows = []
    for name, mask in masks.items():
        y, risks = labels[mask].astype(float), probabilities[:, mask]
        few = min(y.sum(), len(y) - y.sum()) < FEWEST
        score: Score = {"value": None, "low": None, "high": None} if few else _auroc(y, risks, num_resamples)
        rows.append(
            {
                "subgroup": name,
                "num_patients": len(y),
                "events": int(y.sum()),
                "auroc": score,
                "mean_risk": float(risks.mean()) if len(y) else None,
                "observed": float(y.mean()) if len(y) else None,
                "note": "too few" if few else "",
            }
        )
    return rows


def _auroc(y: Array, risks: Array, num_resamples: int) -> Score:
    weights = resample(len(y), len(risks), num_resamples)
    weights = weights[(weights @ y > 0) & (weights @ (1 - y) > 0)]
    values = np.mean([auroc(y, p, weights) for p in risks], axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values[1:], [tail, 1 - tail])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}
