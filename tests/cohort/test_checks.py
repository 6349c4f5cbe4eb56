"""The checks of a table of scans: what is wrong is an error, what is unusual a warning, one for a column and cause."""

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort.checks.scans import check_scans
from hemexp.cohort.findings import Cell, CohortError, Finding, Findings


def make_scans(num_patients: int = 12, **columns: object) -> pd.DataFrame:
    """Return two scans a patient, one hour after onset and 24 hours later, with the columns that are given."""
    n = 2 * num_patients
    index = np.tile([0, 1], num_patients)
    table = {
        "patient_id": np.repeat([f"p{i}" for i in range(num_patients)], 2),
        "scan_serial": [f"CT{i}" for i in range(n)],
        "scan_index": index,
        "scan_time": pd.Timestamp("2031-05-04 13:20:30") + pd.to_timedelta(24 * index, unit="h"),
        "hours_from_onset": 1.0 + 24.0 * index,
        "hours_from_first_scan": 24.0 * index,
        "HM_volume": np.linspace(10_000, 30_000, n),
    }
    return pd.DataFrame({**table, **columns}).astype({"scan_time": "datetime64[us]"})


def by_patient(*values: float) -> np.ndarray:
    """Return the values of a patient's column for both of its scans."""
    return np.repeat(np.array(values, dtype=float), 2)


def check(scans: pd.DataFrame) -> list[Finding]:
    findings = Findings()
    try:
        check_scans(scans, lambda record, column: Cell("scans.csv", "", record + 2, column), findings)
    except CohortError:
        assert any(finding.severity == "error" for finding in findings.rows)
    return findings.rows


def single(scans: pd.DataFrame) -> Finding:
    (finding,) = check(scans)
    return finding


def test_a_table_with_few_columns_has_no_findings():
    assert check(make_scans()) == []


def test_a_table_without_volumes_and_hours_is_only_warned_of():
    scans = make_scans().drop(columns="HM_volume")
    scans[["hours_from_onset", "hours_from_first_scan"]] = np.nan
    scans["scan_time"] = pd.NaT
    findings = check(scans.astype({"scan_time": "datetime64[us]"}))
    assert [(f.severity, f.problem, f.column, f.count) for f in findings] == [
        ("warning", "hours_unknown", "hours_from_first_scan", 12),
        ("warning", "hours_unknown", "hours_from_onset", 12),
    ]


AGES = np.arange(60.0, 72.0)


@pytest.mark.parametrize(
    ("name", "legal", "value", "rule"),
    [
        ("age", AGES, 430, "0 to 120 years"),
        ("hypertension", AGES % 2, 2, "0 or 1"),
        ("sex", 1 + AGES % 2, 3, "1 or 2"),
        ("mrs_before", AGES % 6, 2.5, "0 or 1 or 2 or 3 or 4 or 5"),
        ("gcs", AGES % 10 + 3, 2, "a whole number from 3 to 15"),
        ("glucose", AGES / 10, 900, "0.5 to 80 mmol/L"),
    ],
)
def test_a_value_that_is_not_legal_is_an_error_that_states_the_rule(
    name: str, legal: np.ndarray, value: float, rule: str
):
    scans = make_scans(**{name: by_patient(*legal)})
    scans.loc[[4, 5], name] = value
    finding = check(scans)[0]
    assert (finding.severity, finding.problem, finding.column, finding.row) == ("error", "out_of_range", name, 6)
    assert (finding.value, rule in finding.message) == (f"{value:g}", True)


def test_many_values_out_of_range_are_one_finding():
    finding = single(make_scans(age=by_patient(*[670] * 12)))
    assert finding.count == 12
    assert "12 cells (age2, age4" in finding.message


def test_a_negative_volume_is_an_error_in_every_scan():
    scans = make_scans()
    scans.loc[1, "HM_volume"] = -5
    finding = single(scans)
    assert (finding.problem, finding.row, finding.value) == ("out_of_range", 3, "-5")
    assert "0 to 2000 mL" in finding.message


def test_a_few_missing_volumes_are_errors_and_many_are_one_warning():
    scans = make_scans()
    scans.loc[1, "HM_volume"] = np.nan
    assert "HM_volume is empty" in single(scans).message
    scans.loc[:5, "HM_volume"] = np.nan
    finding = single(scans)
    assert (finding.severity, finding.problem, finding.count) == ("warning", "volume_missing", 6)


def test_a_missing_edema_volume_is_a_warning():
    scans = make_scans(ED_volume=np.linspace(1000, 5000, 24))
    scans.loc[3, "ED_volume"] = np.nan
    finding = single(scans)
    assert (finding.severity, finding.problem, finding.column) == ("warning", "missing_value", "ED_volume")


def test_a_serial_that_occurs_twice_is_an_error_that_names_the_first_cell():
    scans = make_scans()
    scans.loc[5, "scan_serial"] = "CT0"
    finding = single(scans)
    assert (finding.problem, finding.row) == ("duplicate_serial", 7)
    assert "scan_serial2" in finding.message


def test_scans_must_be_numbered_in_order():
    scans = make_scans()
    scans.loc[1, "scan_index"] = 7
    assert single(scans).problem == "scan_index"


def test_a_patient_with_two_ages_is_an_error():
    scans = make_scans(age=by_patient(*AGES))
    scans.loc[3, "age"] = 33
    finding = single(scans)
    assert (finding.problem, finding.row) == ("inconsistent_patient", 5)
    assert "age is 33.0, but 61.0 at the first scan" in finding.message


def test_a_later_scan_before_the_first_is_an_error():
    scans = make_scans()
    scans.loc[1, "hours_from_first_scan"] = -2
    scans.loc[1, "scan_time"] = scans.loc[0, "scan_time"] - pd.Timedelta(hours=2)
    assert single(scans).problem == "follow_up_before_first"


def test_hours_that_disagree_with_the_times_are_an_error():
    scans = make_scans(onset_to_first_scan=by_patient(*[1] * 12))
    scans.loc[1, "hours_from_onset"] = 99
    finding = next(f for f in check(scans) if f.severity == "error")
    assert (finding.problem, finding.column) == ("hours_disagree", "hours_from_onset")
    scans = make_scans()
    scans.loc[1, "hours_from_first_scan"] = 20
    assert single(scans).problem == "hours_disagree"


def test_times_that_lost_their_seconds_are_one_warning():
    scans = make_scans()
    scans["scan_time"] = scans["scan_time"].dt.floor("min")
    scans.loc[1::2, "hours_from_first_scan"] += 40 / 3600
    finding = single(scans)
    assert (finding.severity, finding.problem, finding.count) == ("warning", "seconds_lost", 12)


def test_a_systolic_pressure_below_the_diastolic_is_an_error():
    pressures = {"systolic": by_patient(82, *AGES[:11] + 90), "diastolic": by_patient(162, *AGES[:11])}
    finding = single(make_scans(**pressures))
    assert (finding.problem, finding.value) == ("blood_pressure", "82/162")


def test_volumes_in_ml_are_an_error_in_a_cohort_and_a_warning_in_a_small_one():
    scans = make_scans()
    scans["HM_volume"] /= 1000
    assert (single(scans).severity, single(scans).problem) == ("error", "volume_unit")
    assert single(scans[:4]).severity == "warning"


def test_the_empty_columns_are_one_warning_that_names_them():
    empty = {name: np.full(24, np.nan) for name in ("age", "smoking", "Hemo_original_shape_Flatness")}
    finding = single(make_scans(**empty))
    assert (finding.severity, finding.problem) == ("warning", "empty_columns")
    assert "3 columns are empty: age, smoking, 1 radiomics" in finding.message


def test_the_constant_inputs_are_one_warning_from_ten_patients_on():
    scans = make_scans(smoking=by_patient(*[0] * 12), diabetes=by_patient(*[1] * 12), sedation=by_patient(*[1] * 12))
    finding = single(scans)
    assert (finding.problem, finding.count) == ("constant_column", 1)
    assert "diabetes, smoking" in finding.message
    assert check(scans[:18]) == []


def test_missing_inputs_are_single_warnings_or_one_for_the_column():
    ages = AGES.copy()
    ages[2] = np.nan
    finding = single(make_scans(age=by_patient(*ages)))
    assert (finding.problem, finding.row, finding.count) == ("missing_value", 6, 1)
    ages[2:8] = np.nan
    finding = single(make_scans(age=by_patient(*ages)))
    assert (finding.problem, finding.count) == ("missing_value", 6)


def test_a_missing_outcome_is_a_warning_of_its_own():
    outcomes = by_patient(np.nan, *range(6), *range(5))
    assert single(make_scans(mrs_90d=outcomes)).problem == "mrs_90d_missing"


def test_a_scan_without_radiomics_is_a_warning_that_depends_on_its_volume():
    scans = make_scans(Hemo_original_shape_Flatness=np.linspace(0.1, 0.9, 24))
    scans.loc[[4, 6], "Hemo_original_shape_Flatness"] = np.nan
    scans.loc[6, "HM_volume"] = 15
    assert [(f.problem, f.row) for f in check(scans)] == [("radiomics_missing", 6), ("radiomics_empty", 8)]


def test_a_volume_that_differs_from_the_voxel_volume_is_a_warning():
    scans = make_scans()
    scans["Hemo_original_shape_VoxelVolume"] = scans["HM_volume"] / 3
    scans.loc[2, "HM_volume"] /= 1000
    assert single(scans).problem == "volume_mismatch"
