"""AUROC and calibration within clinical subgroups, with cut-offs from the literature."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from hemexp.evaluation.intervals import patient_shares, placements, standard_error
from hemexp.evaluation.metrics import CONFIDENCE
from hemexp.files.result import Score, SubgroupScore
from hemexp.metrics.table import METRICS
from hemexp.types import Array

MIN_PATIENTS = 10  # of either outcome; an AUROC of fewer patients is too imprecise to report


def get_subgroups(patients: pd.DataFrame) -> dict[str, Array]:
    """Return a mask of the patients in each subgroup, by ``name: value``; without the subgroups that have no patient.

    A patient with a missing value is in none of the subgroups of this variable.

    Args:
        patients: a row for each patient, with ``sex``, ``age``, ``HM_volume`` (10^-3 mL), ``onset_to_first_scan``
            (hours) and ``hypertension``, as far as the cohort has these columns.
    """
    gaps = pd.Series(np.nan, patients.index)
    columns = ["sex", "age", "HM_volume", "onset_to_first_scan", "hypertension"]
    sex, age, volume, hours, hypertension = (pd.to_numeric(patients.get(c, gaps)).to_numpy(float) for c in columns)
    known = {
        "sex": sex, "age": age, "volume": volume, "onset to scan": hours, "hypertension": hypertension,
    }  # fmt: skip
    masks = {
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
    return {name: mask for name, mask in masks.items() if not np.isnan(known[name.partition(":")[0]]).all()}


def subgroup_scores(
    masks: dict[str, Array], labels: Array, probabilities: Array, fold_numbers: Array
) -> list[SubgroupScore]:
    """Return AUROC, mean risk and observed share of events in each subgroup.

    The AUROC is the share of correctly ranked pairs among all pairs of a patient with and a patient without expansion
    who were held out in the same fold; risks from different folds come from different models and are not compared. The
    interval comes from the placements of the patients (`hemexp.evaluation.intervals`). With fewer than 10 patients of
    either outcome the AUROC is left out, with a note.

    Args:
        masks: of the patients in each subgroup, by name.
        labels: 1 or 0.
        probabilities: out-of-fold risks.
        fold_numbers: the fold in which each patient was held out.

    Shape:
        each mask, labels: (N,); probabilities, fold_numbers: (R, N).
    """
    rows = []
    for name, mask in masks.items():
        y, risks = labels[mask].astype(float), probabilities[:, mask]
        too_few = min(y.sum(), len(y) - y.sum()) < MIN_PATIENTS
        rows.append(
            SubgroupScore(
                subgroup=name,
                num_patients=len(y),
                events=int(y.sum()),
                auroc=Score() if too_few else _get_auroc(y, risks, fold_numbers[:, mask]),
                mean_risk=float(risks.mean()) if len(y) else None,
                observed=float(y.mean()) if len(y) else None,
                note="too few" if too_few else "",
            )
        )
    return rows


def _get_auroc(y: Array, risks: Array, fold_numbers: Array) -> Score:
    by_repeat = [placements(y, p, numbers) for p, numbers in zip(risks, fold_numbers, strict=True)]
    share, pairs = (np.array(values)[:, y == 1] for values in zip(*by_repeat, strict=True))
    value = float(np.nansum(share * pairs) / pairs.sum()) if pairs.sum() else None
    shares = patient_shares(METRICS["auroc"], y, risks, fold_numbers)
    reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * standard_error(METRICS["auroc"], shares, y)
    if value is None or not np.isfinite(reach):
        return Score(value=value)
    return Score(value=value, low=max(0.0, value - reach), high=min(1.0, value + reach))
