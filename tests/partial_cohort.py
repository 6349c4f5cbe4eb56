"""Cohorts that hold some columns only, made from the synthetic one."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort import columns as c
from hemexp.cohort.findings import Cell, Findings
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import SyntheticDataConfig


@cache
def synthetic_scans() -> pd.DataFrame:
    """Return the scans of 60 patients with follow-up and 5 without."""
    return load_cohort(SyntheticDataConfig("synthetic", num_patients=60, num_unlabelled=5, prevalence=0.35)).scans


def make_cohort(columns: Sequence[str], own_inputs: Sequence[str] = (), **added: object) -> Cohort:
    """Return a cohort with these columns of the synthetic one, and with added ones.

    Args:
        columns: to keep, beside the keys and times of the scans.
        own_inputs: columns among the added ones that are inputs of the user.
        added: columns with their values: one value, or one for each scan.
    """
    scans = synthetic_scans()[[*c.SCAN_KEYS, *columns]]
    scans = pd.concat([scans, pd.DataFrame(added, index=scans.index)], axis=1)
    order = [name for name in c.known_columns() if name in scans]
    scans = scans[[*order, *(name for name in scans if name not in order)]]
    return Cohort(scans, Findings(), lambda record, column: Cell("file.xlsx", "", record + 2, "A"), None, True,
                  tuple(own_inputs))  # fmt: skip


def use_cohort(monkeypatch: pytest.MonkeyPatch, cohort: Cohort) -> None:
    """Make the commands read this cohort."""
    for module in ("hemexp.data.datamodule", "hemexp.commands.new_cohort"):
        monkeypatch.setattr(
            f"{module}.load_cohort", lambda *_, **__: replace(cohort, scans=cohort.scans.copy(), findings=Findings())
        )


def by_patient(values: Sequence[object]) -> np.ndarray:
    """Return values for each scan, the patients' values repeated in turn."""
    number = synthetic_scans()["patient_id"].factorize()[0]
    return np.array(values, dtype=object)[number % len(values)]
