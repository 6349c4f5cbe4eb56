"""Table one: the characteristics of the patients by outcome."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hemexp.cohort.columns import MOST_LEVELS, Column, known_columns
from hemexp.types import Array

_INCLUDED_PARTS = ("train", "val", "test")
COLUMNS = ["variable", "overall", "no expansion", "expansion", "missing", "SMD"]
_VARIABLES = {  # column: name; decimals of a number, None for a share
    "age": ("age, years", 0),
    "sex": ("sex: male", None),
    "mrs_before": ("mRS before the stroke", 0),
    "hypertension": ("history: hypertension", None),
    "stroke_history": ("history: stroke", None),
    "diabetes": ("history: diabetes", None),
    "atrial_fibrillation": ("history: atrial fibrillation", None),
    "coronary_disease": ("history: coronary disease", None),
    "smoking": ("history: smoking", None),
    "alcohol": ("history: alcohol", None),
    "systolic": ("systolic blood pressure, mmHg", 0),
    "diastolic": ("diastolic blood pressure, mmHg", 0),
    "onset_to_first_scan": ("onset to first scan, hours", 1),
    "HM_volume": ("hematoma volume, mL", 1),
    "ED_volume": ("edema volume, mL", 1),
    "ventricular_drainage": ("treatment: ventricular drainage", None),
    "hemostasis": ("treatment: hemostasis", None),
    "icp_lowering": ("treatment: ICP lowering", None),
    "bp_lowering": ("treatment: blood pressure lowering", None),
    "sedation": ("treatment: sedation, analgesia", None),
    "antiemetic": ("treatment: antiemetic, stomach protection", None),
    "neurotrophic": ("treatment: neurotrophic", None),
}
_MILLILITERS = 1000  # volumes are in 10^-3 mL


def characteristics(
    patients: pd.DataFrame, expansion: pd.Series, parts: Sequence[str], own_inputs: Sequence[str] = ()
) -> pd.DataFrame:
    """Return table one of the labeled patients in the parts train, val and test.

    Numbers are shown as median (quartiles), the rest as count (percent of the known values). The standardized mean
    difference (SMD; Austin, Stat Med 2009;28:3083) is expansion minus no expansion in pooled standard deviations.

    Args:
        patients: the first scan of each patient, columns as in `hemexp.cohort.columns`; absent and empty columns are
            left out.
        expansion: 1, 0 or NaN.
        parts: each patient's part of the split.
        own_inputs: columns that the user named as inputs.

    Shape:
        patients: N rows; expansion, parts: N.

    Returns:
        The columns `COLUMNS`; a cell is empty where a group has no known value; an undefined SMD is NaN.
    """
    outcome = expansion.to_numpy(dtype=float)
    included = np.isin(np.asarray(parts, dtype=str), _INCLUDED_PARTS) & ~np.isnan(outcome)
    outcome = outcome[included]
    groups = [np.full(len(outcome), True), outcome == 0, outcome == 1]
    counts = [str(int(group.sum())) for group in groups]
    rows: list[list[object]] = [["patients", *counts, 0, np.nan]]
    for name, values, decimals in _list_variables(patients, own_inputs):
        values = values[included]
        known = [values[group & ~np.isnan(values)] for group in groups]
        cells = [_format(each, decimals) for each in known]
        rows.append([name, *cells, int(np.isnan(values).sum()), _standardized_difference(known[2], known[1])])
    return pd.DataFrame(rows, columns=COLUMNS)


def _list_variables(patients: pd.DataFrame, own_inputs: Sequence[str]) -> Iterator[tuple[str, Array, int | None]]:
    """Yield name, values and decimals of each variable that has values; decimals are None for a share."""
    more = [name for name, column in known_columns().items() if column.role in {"extra", "treatment"}]
    for column in dict.fromkeys([*_VARIABLES, *more, *own_inputs]):
        if column not in patients or patients[column].isna().all():
            continue
        known = known_columns().get(column)
        if not pd.api.types.is_numeric_dtype(patients[column]):
            yield from _list_levels(column, patients[column])
            continue
        values = patients[column].to_numpy(dtype=float)
        unit = _MILLILITERS if known is not None and known.kind == "volume" else 1
        name, decimals = _VARIABLES.get(column) or _describe(column, known, values / unit)
        share = np.where(np.isnan(values), np.nan, values == 1)
        yield name, share if decimals is None else values / unit, decimals


def _list_levels(column: str, values: pd.Series) -> Iterator[tuple[str, Array, None]]:
    """Yield the share of each level of a column of texts, if there are few."""
    texts = values.map(str, "ignore")
    levels = sorted(texts.dropna().unique())
    for level in levels if len(levels) <= MOST_LEVELS else ():
        yield f"{column}: {level}", (texts == level).astype(float).mask(texts.isna()).to_numpy(), None


def _describe(name: str, column: Column | None, values: Array) -> tuple[str, int | None]:
    """Return name and decimals of a variable: three digits of its median; None for yes and no."""
    known = values[~np.isnan(values)]
    text = name if column is None else column.meaning
    if column is not None and column.role == "treatment":
        text = f"treatment: {text}"
    if np.isin(known, [0, 1]).all():
        return text, None
    unit = "mL" if column is not None and column.kind == "volume" else column.unit if column is not None else ""
    size = float(np.median(np.abs(known)))
    decimals = 0 if (known % 1 == 0).all() or size >= 100 else 1 if size >= 10 else 2
    return f"{text}, {unit}" if unit else text, decimals


def _format(values: Array, decimals: int | None) -> str:
    """Return median (quartiles), or count (percent) without `decimals`; empty without values."""
    if len(values) == 0:
        return ""
    if decimals is None:
        return f"{int(values.sum())} ({100 * values.mean():.0f} %)"
    low, middle, high = (f"{number:.{decimals}f}" for number in np.quantile(values, [0.25, 0.5, 0.75]))
    return f"{middle} ({low} to {high})"


def _standardized_difference(yes: Array, no: Array) -> float:
    """Return the SMD; for values of 0 and 1 the variance is p (1 - p), the population variance."""
    if len(yes) < 2 or len(no) < 2:
        return float("nan")
    binary = bool(np.isin(np.concatenate([yes, no]), [0, 1]).all())
    spread = np.sqrt((yes.var(ddof=0 if binary else 1) + no.var(ddof=0 if binary else 1)) / 2)
    return round(float((yes.mean() - no.mean()) / spread), 3) if spread > 0 else float("nan")
