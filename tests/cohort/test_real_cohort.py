"""The published cohort, where HEMEXP_COHORT points to it: the numbers are those of its science notes."""

from pathlib import Path

import pandas as pd
import pytest

from hemexp.cohort import columns as c
from hemexp.cohort.labels import label_patients, note_unseen
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import DataConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.features import feature_names, input_table
from hemexp.files.writing import write_csv

POSITIVE = [3, 5, 9, 17, 33, 36, 38, 39, 48, 54, 57, 60, 61, 70, 76, 77, 79, 80, 81, 92, 95, 98, 99]


@pytest.fixture(scope="module")
def cohort(real_cohort: Path) -> Cohort:
    return load_cohort(DataConfig("workbook", str(real_cohort)))


def test_size(cohort: Cohort):
    assert len(cohort.scans) == 510
    assert len(cohort.patients) == 160
    assert (cohort.scans["patient_id"] <= "sub100").sum() == 450


def test_the_default_label_and_its_reasons(cohort: Cohort):
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
def test_every_label(cohort: Cohort, name: str, first_60: int, last_40: int):
    expansion = label_patients(cohort.scans, load_config(TrainConfig, [f"label={name}"]).label)["expansion"]
    assert (expansion[:60].sum(), expansion[60:100].sum()) == (first_60, last_40)


def test_every_planted_error_is_a_finding_and_none_an_error(cohort: Cohort):
    label = load_config(TrainConfig).label
    note_unseen(label_patients(cohort.scans, label), cohort.scans, label, cohort.where, cohort.findings)
    found = cohort.findings.frame()
    assert set(found["severity"]) == {"warning"}
    by_problem = {str(problem): group for problem, group in found.groupby("problem")}
    assert by_problem["first_serial_conflict"]["patient_id"].tolist() == ["sub074", "sub131", "sub132"]
    assert "sub003's scan number 1" in by_problem["first_serial_conflict"]["message"].iloc[1]
    assert by_problem["blood_pressure_spaces"][["patient_id", "row", "column"]].to_numpy().tolist() == [
        ["sub119", 120, "P"]
    ]
    assert (by_problem["stray_cells"]["row"].item(), by_problem["stray_cells"]["column"].item()) == (61, "CG")
    assert {"Hemo1123", "Hemo1255"} <= set(by_problem["index_unknown_serial"]["patient_id"])
    whole = by_problem["radiomics_missing"].loc[by_problem["radiomics_missing"]["patient_id"] <= "sub100"]
    assert set(whole["patient_id"]) == {"sub100"}
    missing = pd.concat([by_problem["radiomics_empty"], by_problem["radiomics_missing"]])
    missing = missing[missing["patient_id"] <= "sub100"]
    assert missing["message"].str.contains("no Hemo").sum() == 45
    assert missing["message"].str.contains("no ED").sum() == 17
    assert len(by_problem["ratio_sum"]) == 64
    assert len(by_problem["mrs_90d_missing"]) == len(by_problem["no_followup"]) == 60
    assert by_problem["no_scan_in_window"]["patient_id"].tolist() == ["sub015", "sub046", "sub050", "sub052"]
    assert {"header_missing", "index_patient_ids", "scan_count", "unknown_sheet", "radiomics_unknown_serial"} <= set(
        by_problem
    )


def test_nobody_gets_another_persons_brain(cohort: Cohort):
    patients = cohort.patients.set_index("patient_id")
    assert patients.at["sub131", "scan_serial"] != patients.at["sub003", "scan_serial"]
    assert patients.at["sub131", "HM_volume"] != patients.at["sub003", "HM_volume"]
    assert patients.loc["sub131", c.RADIOMICS["Hemo"] + c.RADIOMICS["ED"]].isna().all()
    assert patients.at["sub074", "scan_index"] == 0


def test_serials_are_fourteen_digits(cohort: Cohort):
    assert cohort.scans["scan_serial"].str.fullmatch(r"\d{14}").all()


def test_nothing_is_missing_in_the_papers_72(cohort: Cohort):
    table = input_table(cohort.patients[:100], feature_names("paper"))
    assert not table.isna().any().any()


def test_the_tables_read_back_to_the_same_cohort(cohort: Cohort, tmp_path: Path):
    write_csv(cohort.scans, tmp_path / "scans.csv")
    back = load_cohort(DataConfig("tidy", str(tmp_path)))
    pd.testing.assert_frame_equal(back.scans, cohort.scans, check_exact=True)
    assert back.data_hash == cohort.data_hash
