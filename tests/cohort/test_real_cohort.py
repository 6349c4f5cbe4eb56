"""The published cohort, if HEMEXP_COHORT names its folder: the numbers come from its science notes."""

from pathlib import Path

import pandas as pd
import pytest

from hemexp.cohort import columns as c
from hemexp.cohort.labels import check_follow_up, label_patients
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import DataConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.features import feature_names, input_table
from hemexp.files.writing import write_csv

POSITIVE = [3, 5, 9, 17, 33, 36, 38, 39, 48, 54, 57, 60, 61, 70, 76, 77, 79, 80, 81, 92, 95, 98, 99]


@pytest.fixture(scope="module")
def cohort(real_cohort: Path) -> Cohort:
    return load_cohort(DataConfig("workbook", str(real_cohort)))


def test_the_cohort_has_510_scans_of_160_patients(cohort: Cohort):
    assert len(cohort.scans) == 510
    assert len(cohort.patients) == 160
    assert (cohort.scans["patient_id"] <= "sub100").sum() == 450


def test_the_default_label_finds_the_known_patients_with_expansion(cohort: Cohort):
    labels = label_patients(cohort.scans, load_config(TrainConfig).label).set_index("patient_id")
    assert labels.index[labels["expansion"] == 1].tolist() == [f"sub{number:03d}" for number in POSITIVE]
    assert labels["expansion"].isna().sum() == 60
    assert set(labels.loc["sub101":, "reason"]) == {"no_followup"}
    late = labels.index[labels["reason"] == "no_scan_in_window"]
    assert late.tolist() == ["sub015", "sub046", "sub050", "sub052"]
    assert labels.at["sub003", "hours_to_expansion"] == pytest.approx(9.52, abs=0.005)


@pytest.mark.parametrize(
    ("name", "first_60", "last_40"),
    [
        ("onset_48h", 12, 11),
        ("baseline_48h", 13, 12),
        ("onset_24h", 7, 8),
        ("baseline_24h", 8, 8),
        ("onset_72h", 14, 12),
        ("absolute_6ml", 12, 10),
        ("relative_33", 9, 8),
        ("absolute_12_5ml_or_33", 10, 10),
        ("absolute_12_5ml", 5, 7),
        ("absolute_3ml", 23, 13),
    ],
)
def test_every_label_finds_the_known_number_of_patients_with_expansion(
    cohort: Cohort, name: str, first_60: int, last_40: int
):
    expansion = label_patients(cohort.scans, load_config(TrainConfig, [f"label={name}"]).label)["expansion"]
    assert (expansion[:60].sum(), expansion[60:100].sum()) == (first_60, last_40)


def test_every_known_error_of_the_files_is_a_warning(cohort: Cohort):
    label = load_config(TrainConfig).label
    check_follow_up(label_patients(cohort.scans, label), cohort.scans, label, cohort.locate, cohort.findings)
    findings = cohort.findings.frame()
    assert set(findings["severity"]) == {"warning"}
    assert cohort.findings.counts() == {
        "blood_pressure_spaces": 1,
        "first_serial_conflict": 3,
        "header_missing": 1,
        "index_patient_ids": 1,
        "index_unknown_serial": 9,
        "mrs_90d_missing": 60,
        "no_followup": 60,
        "no_scan_in_window": 4,
        "radiomics_empty": 60,
        "radiomics_missing": 6,
        "radiomics_unknown_serial": 16,
        "ratio_sum": 64,
        "scan_count": 60,
        "stray_cells": 24,
        "unread_sheet": 1,
    }
    by_problem = {str(problem): group for problem, group in findings.groupby("problem")}
    assert by_problem["first_serial_conflict"]["patient_id"].tolist() == ["sub074", "sub131", "sub132"]
    assert "sub003's scan number 1" in by_problem["first_serial_conflict"]["message"].iloc[1]
    assert by_problem["blood_pressure_spaces"][["patient_id", "row", "column"]].to_numpy().tolist() == [
        ["sub119", 120, "P"]
    ]
    assert (by_problem["stray_cells"]["row"].item(), by_problem["stray_cells"]["column"].item()) == (61, "CG")
    assert len(findings) < 30


def test_the_scans_without_radiomics_are_known(cohort: Cohort):
    scans = cohort.scans[cohort.scans["patient_id"] <= "sub100"]
    for tissue, number in (("Hemo", 45), ("ED", 17)):
        assert scans[c.RADIOMICS[tissue]].isna().all(axis=1).sum() == number
    large = [f for f in cohort.findings.rows if f.problem == "radiomics_missing"]
    assert {f.patient_id for f in large if f.patient_id <= "sub100"} == {"sub100"}


def test_a_wrong_first_serial_does_not_assign_another_patients_scan(cohort: Cohort):
    patients = cohort.patients.set_index("patient_id")
    assert patients.at["sub131", "scan_serial"] != patients.at["sub003", "scan_serial"]
    assert patients.at["sub131", "HM_volume"] != patients.at["sub003", "HM_volume"]
    assert patients.loc["sub131", c.RADIOMICS["Hemo"] + c.RADIOMICS["ED"]].isna().all()
    assert patients.at["sub074", "scan_index"] == 0


def test_every_serial_has_fourteen_digits(cohort: Cohort):
    assert cohort.scans["scan_serial"].str.fullmatch(r"\d{14}").all()


def test_the_72_inputs_of_the_paper_are_complete(cohort: Cohort):
    table = input_table(cohort.patients[:100], feature_names("paper"))
    assert not table.isna().any().any()


def test_the_written_table_is_read_as_the_same_cohort(cohort: Cohort, tmp_path: Path):
    write_csv(cohort.scans, tmp_path / "scans.csv")
    back = load_cohort(DataConfig("tidy", str(tmp_path)))
    pd.testing.assert_frame_equal(back.scans, cohort.scans, check_exact=True)
    assert back.data_hash == cohort.data_hash
