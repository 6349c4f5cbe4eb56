from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort.labels import label_patients
from hemexp.config import LabelConfig

DEFAULT = LabelConfig("onset_48h", absolute_ml=6.0, relative=0.33, window_hours=48, clock="onset")


def patient(*scans: tuple[float, float], onset: float = 2.0, name: str = "p") -> pd.DataFrame:
    """Return the scans of a patient, given as (hours from the first scan, volume in 10^-3 mL)."""
    hours, volumes = np.array(scans, dtype=float).T
    return pd.DataFrame(
        {
            "patient_id": name,
            "scan_serial": [f"{name}{i}" for i in range(len(scans))],
            "scan_index": range(len(scans)),
            "hours_from_first_scan": hours,
            "hours_from_onset": onset + hours,
            "HM_volume": volumes,
        }
    )


def outcome(scans: pd.DataFrame, label: LabelConfig = DEFAULT) -> tuple[float, str]:
    row = label_patients(scans, label).iloc[0]
    return row["expansion"], row["reason"]


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ((10, 36_000), 1),  # 6 mL more, 20 %
        ((10, 35_999), 0),
        ((46, 36_000), 1),  # 48 hours from onset: still in the window
        ((46.01, 36_000), 0),
    ],
)
def test_absolute_growth_counts_within_the_time_window(later: tuple[float, float], expected: int):
    assert outcome(patient((0, 30_000), later))[0] == expected


def test_relative_growth_counts_and_thresholds_are_in_ml():
    assert outcome(patient((0, 3_000), (10, 3_990)))[0] == 1  # 33 %, 0.99 mL
    assert outcome(patient((0, 3_000), (10, 3_989)))[0] == 0
    assert outcome(patient((0, 30_000), (10, 30_006)))[0] == 0  # 6 units are 0.006 mL


def test_growth_equal_to_the_threshold_counts_in_spite_of_rounding():
    assert outcome(patient((0, 700), (10, 931)))[0] == 1  # 0.33 * 700 is a little above 231 in floating point
    assert outcome(patient((0, 700), (10, 931)), replace(DEFAULT, inclusive=False))[0] == 0


def test_an_unknown_onset_gives_no_label_on_the_onset_clock():
    scans = patient((0, 30_000), (10, 30_000), onset=np.nan)
    assert np.isnan(outcome(scans)[0])
    assert outcome(scans, replace(DEFAULT, clock="baseline"))[0] == 0
    assert outcome(patient((0, 30_000), (10, 40_000), onset=np.nan), replace(DEFAULT, clock="baseline"))[0] == 1


def test_growth_must_exceed_the_threshold_where_it_is_not_inclusive():
    strict = replace(DEFAULT, inclusive=False)
    assert outcome(patient((0, 30_000), (10, 36_000)), strict)[0] == 0
    assert outcome(patient((0, 30_000), (10, 36_001)), strict)[0] == 1


def test_the_baseline_clock_starts_at_the_first_scan():
    late = patient((0, 30_000), (47, 40_000), onset=5)
    assert outcome(late)[0] == 0
    assert outcome(late, replace(DEFAULT, clock="baseline"))[0] == 1


def test_growth_from_a_zero_volume_counts_by_its_absolute_size():
    assert outcome(patient((0, 0), (10, 100)))[0] == 0
    assert outcome(patient((0, 0), (10, 6_000)))[0] == 1


def test_a_patient_without_follow_up_has_no_label():
    assert outcome(patient((0, 30_000))) == (pytest.approx(np.nan, nan_ok=True), "no_followup")


def test_a_follow_up_after_the_window_is_negative_or_excluded_as_configured():
    late = patient((0, 30_000), (100, 90_000))
    assert outcome(late) == (0, "no_scan_in_window")
    excluded = outcome(late, replace(DEFAULT, no_scan_in_window="exclude"))
    assert np.isnan(excluded[0])
    assert excluded[1] == "no_scan_in_window"


def test_the_hours_to_expansion_are_the_time_of_the_first_scan_with_expansion():
    scans = patient((0, 10_000), (5, 11_000), (9, 14_000), (20, 30_000), onset=2.5)
    row = label_patients(scans, DEFAULT).iloc[0]
    assert (row["hours_to_expansion"], row["reason"]) == (11.5, "expanded")
    assert np.isnan(label_patients(patient((0, 10_000), (5, 9_000)), DEFAULT).iloc[0]["hours_to_expansion"])


def test_each_patient_is_labeled_separately_in_table_order():
    scans = pd.concat([patient((0, 10_000), (5, 20_000), name="b"), patient((0, 50_000), (3, 50_000), name="a")])
    table = label_patients(scans.reset_index(drop=True), DEFAULT)
    assert table["patient_id"].tolist() == ["b", "a"]
    assert table["expansion"].tolist() == [1, 0]
    assert table["first_scan_serial"].tolist() == ["b0", "a0"]
