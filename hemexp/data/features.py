"""Groups of model inputs: columns of a patient's first scan, in a fixed order."""

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.errors import UserError

_HOURS = "onset_to_first_scan"
_BEFORE_TREATMENT = [name for name in c.CLINICAL if name not in c.TREATMENTS]

GROUPS: dict[str, list[str]] = {
    "paper": [*c.CLINICAL, *c.LOCATION, *c.RADIOMICS["ED"]],  # the radiomics of the paper's Table 3 are in the ED sheet
    "admission": [*_BEFORE_TREATMENT, _HOURS, *c.LOCATION, *c.RADIOMICS["Hemo"]],
    "minimal": ["log_volume", "log_hours"],
    "all": [*c.CLINICAL, _HOURS, *c.LOCATION, *c.RADIOMICS["Hemo"], *c.RADIOMICS["ED"]],
}
_FLOOR_ML, _FLOOR_HOURS = 0.01, 0.1  # smaller than any measured value; keep the logarithms finite


def feature_names(group: str) -> list[str]:
    """Return the names of a group's inputs, in order.

    Raises:
        UserError: there is no such group.
    """
    if group not in GROUPS:
        raise UserError(f"features.name={group}: must be one of {', '.join(GROUPS)}")
    return GROUPS[group]


def input_table(patients: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the inputs in their own units, before imputation and scaling.

    Args:
        patients: one row a patient: the first scan.
        names: of inputs in `GROUPS`. ``log_volume`` is the natural logarithm of the volume in mL, ``log_hours`` of the
            hours from onset to the first scan.

    Shape:
        Output: (N, F), float64, NaN where a value is missing.
    """
    derived = {
        "log_volume": np.log(np.maximum(patients["HM_volume"] / 1000, _FLOOR_ML)),
        "log_hours": np.log(np.maximum(patients[_HOURS], _FLOOR_HOURS)),
    }
    columns = {name: derived.get(name, patients.get(name)) for name in names}
    return pd.DataFrame(columns, index=patients.index).astype("float64")


def feature_caveats(names: list[str]) -> list[str]:
    """Return the caveats of a set of inputs, as codes for result.json."""
    return ["treatments_after_first_scan"] if set(names) & set(c.TREATMENTS) else []
