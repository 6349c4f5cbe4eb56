"""The center of a patient: found by its header, kept by every reader, and never a name of a patient."""

from pathlib import Path

import pandas as pd
import pytest
from hospital import draw_scans, load

from hemexp.cohort.columns import known_columns
from hemexp.cohort.headers import read_header
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import DataConfig, SyntheticDataConfig

NAMES = ["Nord", "Süd", "Tiantan 医院"]


def write(folder: Path, centers: list[object], header: str = "Center") -> Path:
    """Write a table of a hospital with a column of centers, its values repeated over the patients in turn."""
    scans = draw_scans()
    number = scans["patient"].factorize()[0]
    table = pd.DataFrame(
        {
            "Patient ID": scans["patient"], "Onset time": scans["onset"], "Scan date/time": scans["time"],
            "Hematoma volume (mL)": scans["ml"], header: pd.Series(centers, dtype=object)[number % len(centers)].values,
        }
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def findings(cohort: Cohort, problem: str) -> list[tuple[str, str]]:
    return [(each.severity, each.message) for each in cohort.findings.rows if each.problem == problem]


@pytest.mark.parametrize(
    "text",
    [
        "center", "Centre", "SITE", "Study site", "site_id", "Hospital", "Hospital name", "Institution", "Clinic",
        "redcap_data_access_group", "中心", "医院", "研究中心", "医院名称", "Zentrum", "Prüfzentrum", "Klinik",
        "Krankenhaus", "Hôpital", "Centro", "Institución", "Ospedale", "Ziekenhuis", "施設", "病院", "병원",
        "Merkez", "Szpital",
    ],
)  # fmt: skip
def test_usual_headers_of_centers_are_known(text: str):
    assert read_header(text).means == "center"


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("Hospital number", "patient_id"),
        ("Hospital death", "death"),
        ("Hospital stay (days)", ""),
        ("Bleeding site", ""),
    ],
)
def test_other_headers_with_such_a_word_are_not_centers(text: str, means: str):
    assert read_header(text).means == means


def test_a_center_survives_the_mapping_and_the_tables_of_prepare(tmp_path: Path):
    mapped = load(write(tmp_path / "mapped", NAMES, "医院"))
    assert mapped.patients["center"].tolist()[:4] == [*NAMES, "Nord"]
    assert mapped.num_centers == 3
    (tmp_path / "tidy").mkdir()
    mapped.scans.to_csv(tmp_path / "tidy" / "scans.csv", index=False)
    tidy = load_cohort(DataConfig("tidy", str(tmp_path / "tidy")))
    assert tidy.patients["center"].tolist() == mapped.patients["center"].tolist()
    assert tidy.data_hash == mapped.data_hash


def test_the_number_of_a_center_is_a_text_without_decimals(tmp_path: Path):
    cohort = load(write(tmp_path, [1, 2, None, "unknown"]))
    assert cohort.patients["center"].dropna().unique().tolist() == ["1", "2"]
    assert cohort.patients["center"].isna().sum() == 20
    assert not known_columns()["center"].is_input


@pytest.mark.parametrize(
    "values", [["lobar", "deep", "Thalamus"], ["left", "right"], [f"Hospital {n}" for n in range(200)]]
)
def test_a_column_of_places_in_the_brain_or_of_texts_that_never_repeat_is_not_the_center(
    tmp_path: Path, values: list[object]
):
    assert load(write(tmp_path, values, "Site")).num_centers is None


def test_a_patient_with_two_centers_counts_for_the_center_of_the_first_scan(tmp_path: Path):
    path = write(tmp_path, ["A", "B"])
    table = pd.read_csv(path)
    table.loc[1, "Center"] = "B"  # the second scan of the first patient
    table.to_csv(path, index=False)
    cohort = load(path)
    assert findings(cohort, "inconsistent_patient") == [
        ("warning", "center is B, but A at the first scan; the first is used")
    ]
    assert cohort.patients["center"][0] == "A"


def test_two_spellings_of_a_center_are_a_finding(tmp_path: Path):
    ((severity, message),) = findings(load(write(tmp_path, ["Tiantan", "tiantan ", "Nord"])), "center_spelling")
    assert severity == "warning"
    assert message.startswith("center is 'Tiantan' (14), 'tiantan' (13); they count as different centers")


def test_pseudonyms_leave_centers_as_they_are_unless_every_patient_has_another_one(tmp_path: Path):
    (tmp_path / "key").write_bytes(bytes(range(32)))
    codes = [f"P{number:03d}" for number in (1, 2, 3)]  # as the ids of patients
    path = write(tmp_path / "a", codes)
    cohort = load_cohort(DataConfig("mapped", str(path)), key_file=str(tmp_path / "key"))
    assert cohort.patients["center"].tolist()[:4] == [*codes, codes[0]]
    assert cohort.patients["patient_id"].str.startswith("P-").all()
    (tmp_path / "tidy").mkdir()
    scans = load(path).scans
    scans.assign(center=scans["patient_id"] + " Street").to_csv(tmp_path / "tidy" / "scans.csv", index=False)
    alone = load_cohort(DataConfig("tidy", str(tmp_path / "tidy")), key_file=str(tmp_path / "key"))
    assert "center" not in alone.scans
    assert [severity for severity, _ in findings(alone, "pseudonymized_column")] == ["warning"]


def test_synthetic_hospitals_differ_and_one_hospital_is_the_cohort_without_centers():
    plain = SyntheticDataConfig("synthetic", num_patients=300, num_unlabelled=0)
    assert load_cohort(plain).num_centers is None
    several = load_cohort(SyntheticDataConfig("synthetic", num_patients=300, num_unlabelled=0, num_centers=4))
    patients = several.patients
    assert several.num_centers == 4
    assert set(patients["center"]) == {"Center A", "Center B", "Center C", "Center D"}
    volumes = patients.groupby("center")["HM_volume"].median()
    assert volumes.max() / volumes.min() > 1.2
    same = ["age", "systolic", "onset_to_first_scan"]  # drawn before the outcome
    pd.testing.assert_frame_equal(patients[same], load_cohort(plain).patients[same])
