"""Performance within clinical subgroups, cut where the literature cuts."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from hemexp.evaluation.intervals import patient_shares, placements, standard_error
from hemexp.evaluation.metrics import CONFIDENCE, Score
from hemexp.types import Array

_NONE: Score = {"value": None, "low": None, "high": None}
FEWEST = 10  # of either outcome; an AUROC of fewer says nothing


def get_subgroups(patients: pd.DataFrame) -> dict[str, Array]:
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


def subgroup_scores(masks: dict[str, Array], labels: Array, probabilities: Array, folds: Array) -> list[dict[str, Any]]:
    """Return a row a subgroup: its patients and events, AUROC, mean risk and share observed.

    The AUROC is the share of pairs ranked rightly, of all pairs of a patient with and one without expansion who were
    held out in the same fold: risks of different folds come from different models. Its interval is from the patients'
    placements. With fewer than 10 patients of either outcome it is None and the note says so.

    Shape:
        each mask, labels: (N,); probabilities, folds: (R, N).
    """
    rows = []
    for name, mask in masks.items():
        y, risks = labels[mask].astype(float), probabilities[:, mask]
        few = min(y.sum(), len(y) - y.sum()) < FEWEST
        rows.append(
            {
                "subgroup": name,
                "num_patients": len(y),
                "events": int(y.sum()),
                "auroc": _NONE if few else _auroc(y, risks, folds[:, mask]),
                "mean_risk": float(risks.mean()) if len(y) else None,
                "observed": float(y.mean()) if len(y) else None,
                "note": "too few" if few else "",
            }
        )
    return rows


def _auroc(y: Array, risks: Array, folds: Array) -> Score:
    ranked = [placements(y, p, fold) for p, fold in zip(risks, folds, strict=True)]
    share, pairs = (np.array(each)[:, y == 1] for each in zip(*ranked, strict=True))
    value = float(np.nansum(share * pairs) / pairs.sum()) if pairs.sum() else None
    shares = patient_shares("auroc", y, risks, folds)
    assert shares is not None
    reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * standard_error("auroc", shares, y)
    if value is None or not np.isfinite(reach):
        return {**_NONE, "value": value}
    return {"value": value, "low": max(0.0, value - reach), "high": min(1.0, value + reach)}
