"""Cohorts that differ from the published one for a good reason: they are read, with a warning at most."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hospital import draw_scans, load

from hemexp.cohort.findings import CohortError
from hemexp.report.blocks import load_texts

RNG = np.random.default_rng(4)


def make_table(num_patients: int = 60) -> pd.DataFrame:
    scans = draw_scans(num_patients)
    names = {
        "patient": "Patient ID", "time": "Scan date/time", "onset": "Symptom onset", "age": "Age",
        "sbp": "Systolic BP", "dbp": "Diastolic BP", "ml": "Hematoma volume (mL)", "edema_ml": "Edema volume (mL)",
    }  # fmt: skip
    return scans[[*names, "scan"]].rename(columns=names)


def problems(table: pd.DataFrame, folder: Path, **others: pd.DataFrame) -> set[str]:
    """Return the problems found in a table, and in others beside it; they must not be errors."""
    table.drop(columns="scan", errors="ignore").to_csv(folder / "ct.csv", index=False)
    for name, other in others.items():
        other.to_csv(folder / f"{name}.csv", index=False)
    return set(load(folder).findings.counts())


def test_a_usual_cohort_has_no_finding(tmp_path: Path):
    assert problems(make_table(), tmp_path) == set()


def test_volumes_after_an_operation_do_not_follow_the_first_ones(tmp_path: Path):
    table = make_table()
    later = table["scan"] > 0
    for name in ("Hematoma volume (mL)", "Edema volume (mL)"):
        table.loc[later, name] = RNG.uniform(5, 25, later.sum()).round(1)
    assert problems(table, tmp_path) == {"volumes_disagree"}


def test_little_blood_in_the_ventricles_is_usual(tmp_path: Path):
    table = make_table()
    some = RNG.random(len(table)) < 0.3
    table["IVH volume (mL)"] = np.where(some, RNG.uniform(0.05, 0.4, len(table)).round(2), 0)
    assert problems(table, tmp_path) == {"volume_unit"}


def test_little_is_left_of_a_hematoma_after_months(tmp_path: Path):
    table = make_table()
    last = table["scan"] == 2
    table.loc[last, "Scan date/time"] += pd.Timedelta(days=90)
    table.loc[last, "Hematoma volume (mL)"] = RNG.uniform(0.02, 0.04, last.sum()).round(3)
    assert "volume_unit" in problems(table, tmp_path)


def test_serials_that_begin_with_the_day_of_admission_are_serials(tmp_path: Path):
    table = make_table()
    admission = table.groupby("Patient ID")["Scan date/time"].transform("first").dt.strftime("%Y%m%d")
    table["Scan ID"] = admission + [f"{number:04d}" for number in range(len(table))]
    assert problems(table, tmp_path) <= {"serial_date"}
    (tmp_path / "prepared").mkdir()
    load(tmp_path).scans.to_csv(tmp_path / "prepared" / "scans.csv", index=False)
    load(tmp_path / "prepared")


def test_a_later_blood_pressure_beside_the_first_one_is_not_an_older_copy(tmp_path: Path):
    table = make_table()
    later = table.drop_duplicates("Patient ID")[["Patient ID", "Systolic BP", "Diastolic BP"]]
    later = later.assign(**{"Systolic BP": later["Systolic BP"] - 20, "Diastolic BP": later["Diastolic BP"] - 10})
    assert problems(table, tmp_path, pressure=later) == {"tables_disagree"}


@pytest.mark.parametrize("name", ["patients", "labs"])
def test_a_table_beside_scans_csv_that_is_not_read_is_named(name: str, tmp_path: Path):
    table = make_table().drop(columns=["scan", "Age"])
    names = {"Patient ID": "patient_id", "Scan date/time": "scan_time", "Hematoma volume (mL)": "volume_ml"}
    table.rename(columns=names).to_csv(tmp_path / "scans.csv", index=False)
    ages = make_table().drop_duplicates("Patient ID")[["Patient ID", "Age"]]
    ages.rename(columns=names).to_csv(tmp_path / f"{name}.csv", index=False)
    finding = next(each for each in load(tmp_path).findings.rows if each.problem == "unread_file")
    assert f"not read: {name}.csv" in finding.message
    assert "data=mapped" in finding.message


@pytest.mark.parametrize(
    ("numbers", "missing"), [((1, 2, 3), ""), ((1, 3, 4), "2"), ((1, 2, 4), "3"), ((6, 24, 72), "")]
)
def test_a_gap_in_the_numbers_of_scans_side_by_side_is_named(numbers: tuple[int, ...], missing: str, tmp_path: Path):
    columns: dict[str, object] = {"Patient ID": [f"P{number}" for number in range(20)]}
    for place, number in enumerate(numbers):
        columns[f"CT{number} time"] = pd.Timestamp("2031-01-01") + pd.to_timedelta(np.arange(20) + 30 * place, "h")
        columns[f"CT{number} volume (ml)"] = (10 + np.arange(20) + place).astype(float)
    pd.DataFrame(columns).to_csv(tmp_path / "wide.csv", index=False)
    gaps = [finding.message for finding in load(tmp_path).findings.rows if finding.problem == "scan_gap"]
    assert [message[: len(f"no column is of scan {missing},")] for message in gaps] == (
        [f"no column is of scan {missing},"] if missing else []
    )


def test_every_warning_has_a_text_on_the_page():
    texts = load_texts("texts")["problems"]
    for name in ("scan_gap", "unread_file", "volumes_disagree", "unusual_median", "serial_date", "file_end"):
        assert name in texts


@pytest.mark.parametrize("unit", ["months", "weeks", "days", "月"])
def test_an_age_in_another_unit_is_left_out_with_the_reason(unit: str, tmp_path: Path):
    table = make_table().rename(columns={"Age": f"Age ({unit})"}).drop(columns="scan")
    table.to_csv(tmp_path / "ct.csv", index=False)
    cohort = load(tmp_path)
    assert "age" not in cohort.scans
    (finding,) = [each for each in cohort.findings.rows if each.problem == "unknown_column"]
    assert "Age? not in" in finding.message


def test_one_date_with_a_short_year_does_not_decide_how_the_others_are_read(tmp_path: Path):
    table = make_table().drop(columns="scan")
    table["Scan date/time"] = table["Scan date/time"].dt.strftime("%d/%m/%Y %H:%M")
    table.loc[3, "Scan date/time"] = "12.12.31 / 8"
    table.to_csv(tmp_path / "ct.csv", index=False)
    with pytest.raises(CohortError) as caught:
        load(tmp_path)
    assert "1 error" in str(caught.value)
    assert "day first" in str(caught.value)
