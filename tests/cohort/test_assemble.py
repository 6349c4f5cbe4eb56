"""Tables are linked by patient and scan, never by row number; order, serials and hours of scans are worked out."""

from pathlib import Path

import pandas as pd
import pytest
from cohort.hospital import load

from hemexp.cohort.findings import CohortError
from hemexp.cohort.load import Cohort

SCANS = pd.DataFrame(
    [
        ("P1", "A1", "2031-05-04 13:00", "2031-05-04 11:00", 20.0),
        ("P1", "A2", "2031-05-05 01:00", "2031-05-04 11:00", 30.0),
        ("P2", "B1", "2031-06-01 08:00", "2031-06-01 07:30", 10.0),
    ],
    columns=["Patient ID", "Scan serial", "Scan time", "Onset time", "Hematoma volume (mL)"],
)
KEYS = ["patient_id", "scan_index"]


def read(folder: Path, **tables: pd.DataFrame) -> Cohort:
    """Write each table as a CSV file and load the folder."""
    (folder / "export").mkdir(exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / "export" / f"{name}.csv", index=False)
    return load(folder / "export")


def problems(cohort: Cohort) -> list[str]:
    return [finding.problem for finding in cohort.findings.rows]


def test_scans_are_sorted_by_time_and_numbered(tmp_path: Path):
    scans = read(tmp_path, ct=SCANS.iloc[[2, 1, 0]]).scans
    assert scans[[*KEYS, "scan_serial"]].to_numpy().tolist() == [["P2", 0, "B1"], ["P1", 0, "A1"], ["P1", 1, "A2"]]


def test_serials_and_hours_are_worked_out(tmp_path: Path):
    scans = read(tmp_path, ct=SCANS.drop(columns="Scan serial")).scans
    assert scans["scan_serial"].tolist() == ["P1-1", "P1-2", "P2-1"]
    assert scans["hours_from_first_scan"].tolist() == [0, 12, 0]
    assert scans["hours_from_onset"].tolist() == [2, 14, 0.5]
    assert scans["onset_to_first_scan"].tolist() == [2, 2, 0.5]
    assert scans["HM_volume"].tolist() == [20_000, 30_000, 10_000]


def test_two_tables_of_scans_are_linked_by_serial(tmp_path: Path):
    edema = pd.DataFrame({"Scan serial": ["B1", "A2", "A1", "C9"], "Edema volume (mL)": [1.0, 3.0, 2.0, 9.0]})
    cohort = read(tmp_path, ct=SCANS, edema=edema)
    assert cohort.scans["ED_volume"].tolist() == [2000, 3000, 1000]
    (finding,) = [f for f in cohort.findings.rows if f.problem == "radiomics_unknown_serial"]
    assert (finding.file, finding.row, finding.value) == ("edema.csv", 5, "C9")


def test_two_tables_of_scans_without_serials_are_linked_by_patient_and_time(tmp_path: Path):
    edema = SCANS[["Patient ID", "Scan time"]].assign(**{"Edema volume (mL)": [1.0, 2.0, 3.0]})
    cohort = read(tmp_path, ct=SCANS.drop(columns="Scan serial"), edema=edema.iloc[[2, 0, 1]])
    assert cohort.scans["ED_volume"].tolist() == [1000, 2000, 3000]


def test_a_table_of_several_rows_a_patient_that_cannot_be_linked_is_named_and_not_read(tmp_path: Path):
    edema = SCANS[["Patient ID"]].assign(**{"Edema volume (mL)": [1.0, 2.0, 3.0]})
    cohort = read(tmp_path, ct=SCANS, edema=edema)
    (finding,) = [f for f in cohort.findings.rows if f.problem == "table_not_linked"]
    assert finding.file == "edema.csv"
    assert "cannot be linked to the scans; rule: a scan serial, or the patient id and the scan time" in finding.message
    assert "ED_volume" not in cohort.scans


def test_patients_in_two_tables_of_scans_are_named(tmp_path: Path):
    later = SCANS.iloc[[1]].assign(**{"Scan serial": "A9", "Scan time": "2031-05-06 01:00"})
    cohort = read(tmp_path, first=SCANS, later=later)
    (finding,) = [f for f in cohort.findings.rows if f.problem == "shared_patients"]
    assert "1 patient (P1) in first.csv and later.csv are taken for the same patients" in finding.message


def test_the_same_ids_in_two_wide_tables_are_an_error_that_says_what_to_do(tmp_path: Path):
    wide = pd.DataFrame({"Patient ID": ["1"], "CT1 volume (mL)": [10.0], "CT2 volume (mL)": [12.0]})
    wide = wide.assign(**{"Onset to CT1 (h)": 2.0, "Onset to CT2 (h)": 20.0})
    other = wide.assign(**{"CT1 volume (mL)": 30.0, "CT2 volume (mL)": 31.0})
    with pytest.raises(CohortError, match="give different patients different ids, such as 2022-1 and 2023-1"):
        read(tmp_path, y2022=wide, y2023=other)


def test_a_table_of_patients_is_linked_by_patient(tmp_path: Path):
    patients = pd.DataFrame({"Patient ID": ["P2", "P1"], "Age": [60, 70], "GCS": [15, 9]})
    scans = read(tmp_path, ct=SCANS, people=patients).scans
    assert scans[["patient_id", "age"]].to_numpy().tolist() == [["P2", 60], ["P1", 70], ["P1", 70]]
    assert scans["gcs"].fillna(-1).tolist() == [15, 9, -1]  # of the first scan


def test_a_patient_in_one_of_two_tables_only_is_a_warning_that_names_the_patient(tmp_path: Path):
    patients = pd.DataFrame({"Patient ID": ["P1", "P3"], "Age": [70, 80]})
    cohort = read(tmp_path, ct=SCANS, people=patients)
    found = {f.problem: (f.severity, f.file, f.row, f.patient_id) for f in cohort.findings.rows}
    assert found["patient_without_imaging"] == ("warning", "people.csv", 3, "P3")
    assert found["patient_without_clinical"] == ("warning", "ct.csv", 4, "P2")
    assert cohort.patients["patient_id"].tolist() == ["P1", "P2"]


def test_the_same_table_twice_is_an_error_that_names_both(tmp_path: Path):
    with pytest.raises(CohortError, match=r"the same scans are in copy\.csv and ct\.csv"):
        read(tmp_path, ct=SCANS, copy=SCANS)


def test_two_tables_with_different_patients_are_one_cohort(tmp_path: Path):
    cohort = read(tmp_path, a=SCANS[:2], b=SCANS[2:])
    assert cohort.scans["scan_serial"].tolist() == ["A1", "A2", "B1"]
    cell = cohort.locate(2, "HM_volume")
    assert (cell.file, cell.row, cell.column) == ("b.csv", 2, "E")


def test_values_on_the_first_row_of_a_patient_hold_for_all_of_its_scans(tmp_path: Path):
    table = SCANS.assign(Age=[70, None, 60])
    table.loc[1, "Onset time"] = None
    scans = read(tmp_path, ct=table).scans
    assert scans["age"].tolist() == [70, 70, 60]
    assert scans["hours_from_onset"].tolist() == [2, 14, 0.5]


def test_a_row_without_a_scan_gives_its_values_to_the_first_scan(tmp_path: Path):
    visit = pd.DataFrame({"Patient ID": ["P1", "P2"], "Age": [70, 60], "GCS": [9, 15]})
    scans = read(tmp_path, ct=pd.concat([visit, SCANS.drop(columns="Scan serial")])).scans
    assert len(scans) == 3
    assert scans["age"].tolist() == [70, 70, 60]
    assert scans.loc[scans["scan_index"] == 0, "gcs"].tolist() == [9, 15]


@pytest.mark.parametrize("total", ["Total", "Mean (SD)", "合计", "n = 2"])
def test_example_rows_and_totals_are_not_read(total: str, tmp_path: Path):
    extra = SCANS.iloc[[0, 0]].assign(**{"Patient ID": ["EXAMPLE", total]})
    cohort = read(tmp_path, ct=pd.concat([extra[:1], SCANS, extra[1:]]))
    assert cohort.patients["patient_id"].tolist() == ["P1", "P2"]
    (finding,) = cohort.findings.rows
    assert (finding.problem, finding.row, finding.value) == ("totals_row", 6, total)


WIDE = pd.DataFrame(
    {
        "Patient ID": ["P1", "P2"], "Age": [70, 60],
        "Onset to CT1 (h)": [2.0, 0.5], "ICH volume CT1 (mL)": [20.0, 10.0],
        "Onset to CT2 (h)": [14.0, None], "ICH volume CT2 (mL)": [30.0, None],
    }
)  # fmt: skip


def test_an_empty_second_scan_of_a_wide_table_is_not_a_scan(tmp_path: Path):
    cohort = read(tmp_path, wide=WIDE)
    assert cohort.scans[KEYS].to_numpy().tolist() == [["P1", 0], ["P1", 1], ["P2", 0]]
    assert cohort.scans["hours_from_onset"].tolist() == [2, 14, 0.5]
    assert cohort.locate(1, "HM_volume").column == "F"
    assert problems(cohort) == []


def test_a_patient_in_two_rows_of_a_wide_table_is_an_error(tmp_path: Path):
    with pytest.raises(CohortError, match="cell A3: patient P1 is also in row 2; rule: one row a patient"):
        read(tmp_path, wide=WIDE.assign(**{"Patient ID": "P1"}))


def test_a_time_without_a_time_of_day_is_named_where_the_other_cells_have_one(tmp_path: Path):
    table = SCANS.copy()
    table.loc[1, "Scan time"] = "2031-05-05"
    cohort = read(tmp_path, ct=table)
    first = next(f for f in cohort.findings.rows if f.problem == "hours_unknown")
    assert (first.row, first.column, first.value) == (3, "C", "2031-05-05")
    assert cohort.scans["hours_from_onset"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize("time", ["2031-05-04", None])
def test_a_first_scan_with_an_unknown_time_is_not_replaced_by_a_later_scan(tmp_path: Path, time: str | None):
    table = SCANS.copy()
    table.loc[0, "Scan time"] = time
    cohort = read(tmp_path, ct=table)
    assert cohort.patients["scan_serial"].tolist() == ["A1", "B1"]
    assert cohort.scans["hours_from_first_scan"].isna().tolist() == [False, True, False]
    assert "hours_unknown" in problems(cohort)


def test_a_cohort_without_a_volume_is_a_warning_that_says_what_to_do(tmp_path: Path):
    table = pd.DataFrame({"Patient ID": ["P1", "P2"], "Age": [70, 60], "Expansion": ["yes", "no"]})
    cohort = read(tmp_path, people=table)
    (finding,) = [f for f in cohort.findings.rows if f.problem == "no_volume"]
    assert "name the column in mapping.yaml, or give label=column" in finding.message
    assert cohort.scans["expansion_in_file"].tolist() == ["yes", "no"]


def test_a_table_without_a_patient_id_is_an_error(tmp_path: Path):
    with pytest.raises(CohortError, match="no column is a patient id"):
        read(tmp_path, ct=SCANS.drop(columns="Patient ID"))


def first_rows_only(*names: str) -> pd.DataFrame:
    """Return the scans with these columns on the first row of each patient only."""
    later = SCANS["Patient ID"].duplicated()
    table = SCANS.drop(columns="Scan serial").assign(CT=[1, 2, 1], Age=[60, 60, 70])
    table[list(names)] = table[list(names)].mask(later)
    return table


def test_an_id_on_the_first_row_of_a_patient_holds_for_its_further_scans(tmp_path: Path):
    for names in (["Patient ID", "Age"], ["Patient ID", "Onset time"]):
        cohort = read(tmp_path, ct=first_rows_only(*names))
        assert cohort.scans[KEYS].to_numpy().tolist() == [["P1", 0], ["P1", 1], ["P2", 0]]
        (finding,) = [f for f in cohort.findings.rows if f.problem == "ids_filled"]
        assert "1 rows have no patient id; each is read as a further scan of the patient above" in finding.message


def test_a_scan_number_shows_which_rows_continue_a_patient(tmp_path: Path):
    table = first_rows_only("Patient ID").rename(columns={"CT": "Scan number of patient"})
    mapped = table.drop(columns=["Age", "Onset time"]).rename(columns={"Scan number of patient": "Visit number"})
    assert read(tmp_path, ct=mapped).scans["patient_id"].tolist() == ["P1", "P1", "P2"]


def test_a_missing_id_is_an_error_where_nothing_shows_whose_scan_it_is(tmp_path: Path):
    with pytest.raises(CohortError, match="the patient id is empty; rule: every row has a patient id"):
        read(tmp_path, ct=first_rows_only("Patient ID"))


def test_merged_ids_hold_for_all_of_their_rows(tmp_path: Path):
    path = tmp_path / "merged.xlsx"
    with pd.ExcelWriter(path, engine="xlsxwriter") as writer:
        SCANS.drop(columns=["Scan serial"]).to_excel(writer, index=False)
        writer.sheets["Sheet1"].merge_range("A2:A3", "P1")
    assert load(path).scans["patient_id"].tolist() == ["P1", "P1", "P2"]


def test_two_onsets_of_a_patient_are_an_error_that_names_both(tmp_path: Path):
    table = SCANS.assign(**{"Onset time": ["2031-05-04 11:00", "2031-05-04 09:00", "2031-06-01 07:30"]})
    with pytest.raises(CohortError, match="the onset of patient P1 is 2031-05-04 09:00:00, but 2031-05-04 11:00:00"):
        read(tmp_path, table_of_scans=table)


def test_a_scan_with_hours_and_no_volume_stays_a_scan(tmp_path: Path):
    for name, hours in (("Onset to CT1 (h)", 2.0), ("Onset to CT2 (h)", 14.0)):
        folder = tmp_path / name[:12].replace(" ", "_")
        folder.mkdir()
        table = WIDE.assign(**{name.replace("Onset to", "ICH volume").replace("(h)", "(mL)"): [None, None]})
        scans = read(folder, wide=table[:1]).scans
        assert scans["hours_from_onset"].tolist() == [2, 14]
        assert pd.isna(scans.set_index("hours_from_onset").at[hours, "HM_volume"])


def test_two_scans_of_a_patient_at_one_minute_are_an_error(tmp_path: Path):
    later = SCANS.iloc[[1]].assign(**{"Scan serial": "A3", "Hematoma volume (mL)": 31.0})
    with pytest.raises(CohortError, match="at the time of the scan before it"):
        read(tmp_path, ct=pd.concat([SCANS, later]))


def test_headers_that_are_repeated_below_are_not_a_patient(tmp_path: Path):
    again = pd.DataFrame([SCANS.columns], columns=SCANS.columns)
    cohort = read(tmp_path, ct=pd.concat([SCANS[:2], again, SCANS[2:]]))
    assert cohort.patients["patient_id"].tolist() == ["P1", "P2"]
    assert problems(cohort) == ["repeated_header"]


@pytest.mark.parametrize("name", ["Sum", "Min"])
def test_a_patient_with_the_name_of_a_statistic_is_a_patient(name: str, tmp_path: Path):
    table = SCANS.assign(Sex=["M", "M", "M"]).replace({"P2": name})
    assert read(tmp_path, ct=table).patients["patient_id"].tolist() == ["P1", name]


def test_midnight_is_a_time_where_all_times_are_rounded(tmp_path: Path):
    start = pd.date_range("2031-05-04", periods=48, freq="h")
    table = pd.DataFrame({"Patient ID": [f"P{k}" for k in range(48)], "Scan time": start, "Hematoma volume (mL)": 9.5})
    assert read(tmp_path, ct=table).scans["scan_time"].notna().all()
    table["Scan time"] += pd.to_timedelta(range(48), "min")
    table.loc[[0, 24], "Scan time"] = pd.to_datetime(["2031-05-04", "2031-05-05"])
    assert read(tmp_path, ct=table).scans["scan_time"].isna().sum() == 2
