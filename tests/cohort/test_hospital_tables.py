"""Tables as hospitals have them become the right cohort, directly or after their questions are answered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort.hospital import draw_scans, expected_labels, labels_of, load

from hemexp.cohort.findings import CohortError
from hemexp.cohort.load import load_cohort
from hemexp.config import DataConfig
from hemexp.errors import UserError

SCANS = draw_scans()
LONG = {
    "patient": "Patient ID", "time": "Scan date/time", "onset": "Onset time", "age": "Age", "sex": "Sex", "sbp": "SBP",
    "dbp": "DBP", "ml": "Hematoma volume (mL)", "edema_ml": "Edema volume (mL)", "gcs": "GCS",
}  # fmt: skip


def long_table(names: dict[str, str], dates: str | None = "%d/%m/%Y %H:%M") -> pd.DataFrame:
    table = SCANS[list(names)].copy()
    for name in {"time", "onset"} & set(names):
        if dates:
            table[name] = table[name].dt.strftime(dates)
    return table.rename(columns=names)


def wide_table() -> pd.DataFrame:
    """Return a row a patient with the first two scans, minutes from onset."""
    rows = []
    for patient, scans in SCANS.groupby("patient", sort=False):
        minutes = (scans["time"] - scans["onset"]).dt.total_seconds() / 60
        row = {"Study ID": patient, "Age (years)": scans["age"].iloc[0], "Gender": scans["sex"].iloc[0]}
        for k in range(len(scans)):
            row[f"Onset to CT{k + 1} (min)"] = int(minutes.iloc[k])
            row[f"ICH volume CT{k + 1} (ml)"] = scans["ml"].iloc[k]
        rows.append(row)
    return pd.DataFrame(rows)


def english(folder: Path) -> Path:
    long_table(LONG).to_excel(folder / "export.xlsx", index=False)
    return folder / "export.xlsx"


def english_real_dates(folder: Path) -> Path:
    long_table(LONG, None).to_excel(folder / "export.xlsx", index=False)
    return folder


def month_first(folder: Path) -> Path:
    long_table(LONG, "%m/%d/%Y %I:%M %p").to_csv(folder / "export.csv", index=False)
    return folder


def chinese_gbk(folder: Path) -> Path:
    names = {"patient": "患者编号", "time": "检查时间", "onset": "发病时间", "age": "年龄", "sex": "性别",
             "sbp": "收缩压", "dbp": "舒张压", "ml": "血肿体积(mL)", "edema_ml": "水肿体积(mL)"}  # fmt: skip
    table = long_table(names, "%Y年%m月%d日 %H:%M")
    table["性别"] = table["性别"].map({"M": "男性", "F": "女性"})
    table["年龄"] = table["年龄"].astype(str) + "岁"
    table.to_csv(folder / "登记.csv", index=False, encoding="gbk")
    return folder


def german(folder: Path) -> Path:
    names = {"patient": "Patientennummer", "time": "CT-Zeitpunkt", "onset": "Symptombeginn", "age": "Alter",
             "sex": "Geschlecht", "ml": "Hämatomvolumen (ml)"}  # fmt: skip
    table = long_table(names, "%d.%m.%Y %H:%M")
    table["Geschlecht"] = table["Geschlecht"].map({"M": "männlich", "F": "weiblich"})
    table.to_csv(folder / "Studie.csv", index=False, sep=";", decimal=",", encoding="cp1252")
    return folder


def wide_minutes(folder: Path) -> Path:
    wide_table().to_excel(folder / "wide.xlsx", index=False)
    return folder


def wide_tab_utf16(folder: Path) -> Path:
    wide_table().to_csv(folder / "wide.tsv", index=False, sep="\t", encoding="utf-16")
    return folder


def wide_baseline_follow_up(folder: Path) -> Path:
    rows = []
    for patient, scans in SCANS.groupby("patient", sort=False):
        row = {"ID": patient, "Symptom onset": scans["onset"].iloc[0]}
        for name, k in (("Baseline", 0), ("Follow-up", 1)):
            row[f"{name} CT date/time"] = scans["time"].iloc[k]
            row[f"{name} hematoma volume (cc)"] = scans["ml"].iloc[k]
        rows.append(row)
    pd.DataFrame(rows).to_excel(folder / "wide.xlsx", index=False)
    return folder


def registry(folder: Path) -> Path:
    """Demographics stand on the baseline row only, which has no scan."""
    rows = []
    for patient, scans in SCANS.groupby("patient", sort=False):
        first = scans.iloc[0]
        rows.append(
            {"record_id": patient, "redcap_event_name": "baseline_arm_1", "age": first["age"],
             "sex": {"M": "Male", "F": "Female"}[first["sex"]], "onset_datetime": f"{first['onset']:%Y-%m-%d %H:%M}",
             "htn": first["htn"], "gcs": first["gcs"]}
        )  # fmt: skip
        for _, scan in scans.iterrows():
            rows.append(
                {"record_id": patient, "redcap_event_name": f"ct{scan['scan'] + 1}_arm_1",
                 "ct_datetime": f"{scan['time']:%Y-%m-%d %H:%M}", "ich_volume_ml": scan["ml"]}
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "registry.csv", index=False)
    return folder / "registry.csv"


def linked_sheets(folder: Path) -> Path:
    patients = SCANS.drop_duplicates("patient")[["patient", "onset", "age", "sex", "htn"]]
    patients = patients.rename(
        columns={"patient": "Patient", "onset": "Onset", "age": "Age", "sex": "Sex", "htn": "HTN"}
    )
    scans = SCANS[["patient", "time", "ml"]].rename(
        columns={"patient": "Patient", "time": "CT time", "ml": "Volume (mL)"}
    )
    with pd.ExcelWriter(folder / "registry.xlsx") as book:
        patients.to_excel(book, sheet_name="Patients", index=False)
        scans.sample(frac=1, random_state=0).to_excel(book, sheet_name="Scans", index=False)
    return folder / "registry.xlsx"


def linked_files(folder: Path) -> Path:
    patients = SCANS.drop_duplicates("patient")[["patient", "onset", "age"]]
    patients.rename(columns={"patient": "pid", "onset": "onset_time"}).to_csv(folder / "patients.csv", index=False)
    scans = SCANS[["patient", "time", "ml"]].rename(columns={"patient": "pid", "time": "scan_time", "ml": "volume_ml"})
    scans.to_csv(folder / "ct_scans.csv", index=False)
    return folder


def units_in_cells(folder: Path) -> Path:
    table = long_table(
        {"patient": "ID", "time": "CT time", "onset": "Onset", "ml": "Hematoma volume", "age": "Age"}, None
    )
    table["Hematoma volume"] = table["Hematoma volume"].astype(str) + " mL"
    table["BP"] = SCANS["sbp"].astype(str) + "/" + SCANS["dbp"].astype(str)
    table.to_excel(folder / "cells.xlsx", index=False)
    return folder


def parquet(folder: Path) -> Path:
    long_table(LONG, None).to_parquet(folder / "export.parquet")
    return folder / "export.parquet"


def date_and_clock(folder: Path) -> Path:
    table = SCANS[["patient", "ml"]].rename(columns={"patient": "Patient no.", "ml": "ICH volume [cm3]"})
    for name, column in (("CT", "time"), ("Onset", "onset")):
        table[f"{name} date"] = SCANS[column].dt.strftime("%Y-%m-%d")
        table[f"{name} time"] = SCANS[column].dt.strftime("%H:%M")
    table.to_csv(folder / "export.csv", index=False)
    return folder


def hours_from_onset(folder: Path) -> Path:
    table = SCANS[["patient", "ml"]].rename(columns={"patient": "Subject", "ml": "HV (mL)"})
    table["Hours from onset"] = ((SCANS["time"] - SCANS["onset"]).dt.total_seconds() / 3600).round(3)
    table.to_csv(folder / "export.csv", index=False)
    return folder


def title_row(folder: Path) -> Path:
    with pd.ExcelWriter(folder / "export.xlsx") as book:
        pd.DataFrame({"How to read this workbook": ["see sheet 2"]}).to_excel(book, sheet_name="Notes", index=False)
        long_table(LONG).to_excel(book, sheet_name="Data", index=False, startrow=2)
        book.sheets["Data"].write(0, 0, "Department of neurology: registry")
    return folder


def two_digit_years(folder: Path) -> Path:
    names = {"patient": "Pat.-Nr.", "time": "CT-Datum/Uhrzeit", "onset": "Symptombeginn (Datum/Uhrzeit)",
             "age": "Alter bei Aufnahme", "ml": "Blutungsvolumen in ml", "sbp": "RR syst. (mmHg)"}  # fmt: skip
    long_table(names, "%d.%m.%y %H:%M").to_excel(folder / "Studie.xlsx", index=False)
    return folder


def italian(folder: Path) -> Path:
    names = {"patient": "Codice paziente", "time": "Data e ora TC", "onset": "Esordio sintomi", "age": "Età",
             "sex": "Sesso", "ml": "Volume ematoma (ml)", "sbp": "PA sistolica", "gcs": "GCS ingresso"}  # fmt: skip
    long_table(names).to_csv(folder / "studio.csv", index=False, sep=";", decimal=",")
    return folder


def scans_numbered_in_two_ways(folder: Path) -> Path:
    """The volumes are called baseline and follow-up, the times CT 1 and CT 2; other values are measured later."""
    rows = []
    for patient, scans in SCANS[SCANS["scan"] < 2].groupby("patient", sort=False):
        row = {"ID": patient, "Onset": scans["onset"].iloc[0], "GCS baseline": scans["gcs"].iloc[0], "GCS day 3": 15}
        for k, name in enumerate(["Baseline", "Follow-up"]):
            row |= {f"CT{k + 1} date/time": scans["time"].iloc[k], f"{name} volume (ml)": scans["ml"].iloc[k]}
        rows.append({**row, "NIHSS 24h": 4})
    pd.DataFrame(rows).to_excel(folder / "wide.xlsx", index=False)
    return folder


def chinese_hours(folder: Path) -> Path:
    rows = []
    for patient, scans in SCANS[SCANS["scan"] < 2].groupby("patient", sort=False):
        hours = (scans["time"] - scans["onset"]).dt.total_seconds() / 3600
        rows.append(
            {"序号": 0, "住院号": patient, "发病至首次CT时间(h)": hours.iloc[0], "发病至复查CT时间(h)": hours.iloc[1],
             "基线血肿体积ml": scans["ml"].iloc[0], "24h血肿体积ml": scans["ml"].iloc[1]}
        )  # fmt: skip
    pd.DataFrame(rows).assign(序号=range(1, len(rows) + 1)).to_excel(folder / "表.xlsx", index=False)
    return folder


def distractors(folder: Path) -> Path:
    """Columns that look like others: yes or no under the names of numbers, later values, a size in cm, dates."""
    other = {"PAD": 1, "Edema": 0, "NIHSS 24h": 3, "Final volume": 40.5, "Hematoma size (cm)": 3.1, "HE": 1,
             "HE (>6 mL or >33 %)": 0, "ICH score": 2, "DOB": "1950-03-04", "Discharge date": "2031-03-04"}  # fmt: skip
    table = long_table(LONG).assign(**other)
    table.insert(0, "No.", range(1, len(table) + 1))
    table.to_excel(folder / "export.xlsx", index=False)
    return folder


SHAPES = [
    two_digit_years, italian, scans_numbered_in_two_ways, chinese_hours, distractors,
    english, english_real_dates, month_first, chinese_gbk, german, wide_minutes, wide_tab_utf16,
    wide_baseline_follow_up,
    registry, linked_sheets, linked_files, units_in_cells, parquet, date_and_clock, hours_from_onset, title_row,
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_table_is_read_without_a_question_and_gives_the_right_labels(shape: Callable[[Path], Path], tmp_path: Path):
    cohort = load(shape(tmp_path))
    truth = expected_labels(SCANS)
    if shape in {wide_baseline_follow_up, scans_numbered_in_two_ways, chinese_hours}:  # two scans a patient
        truth = expected_labels(SCANS[SCANS["scan"] < 2])
    assert labels_of(cohort) == truth
    firsts = SCANS.drop_duplicates("patient").set_index("patient")
    patients = cohort.patients.set_index("patient_id").loc[firsts.index]
    np.testing.assert_allclose(patients["HM_volume"], 1000 * firsts["ml"])
    hours = (firsts["time"] - firsts["onset"]).dt.total_seconds() / 3600
    np.testing.assert_allclose(patients["hours_from_onset"], hours, atol=2e-3)
    if "age" in patients:
        assert patients["age"].tolist() == firsts["age"].tolist()
    if "sex" in patients:
        assert patients["sex"].tolist() == firsts["sex"].map({"M": 1, "F": 2}).tolist()
    if "systolic" in patients:
        assert patients["systolic"].tolist() == firsts["sbp"].tolist()
    if "gcs" in patients:
        assert patients["gcs"].tolist() == firsts["gcs"].tolist()


def test_day_or_month_first_is_asked_where_the_dates_do_not_show_it(tmp_path: Path):
    scans = SCANS.copy()
    early = scans["time"].dt.day.le(12) & scans["onset"].dt.day.le(12)
    kept = scans.groupby("patient")["time"].transform("size").eq(early.groupby(scans["patient"]).transform("sum"))
    scans = scans[kept]
    table = scans[["patient", "ml"]].rename(columns={"patient": "ID", "ml": "Volume (mL)"})
    table["CT time"] = scans["time"].dt.strftime("%d/%m/%Y %H:%M")
    table["Onset"] = scans["onset"].dt.strftime("%d/%m/%Y %H:%M")
    table.to_csv(tmp_path / "export.csv", index=False)
    cohort = load(tmp_path / "export.csv", {"CT time | Onset": "day_first"}, tmp_path)
    assert labels_of(cohort) == expected_labels(scans)


def test_sex_0_and_1_and_yes_1_and_2_are_asked_all_at_once(tmp_path: Path):
    table = long_table(LONG)
    table["Sex"] = SCANS["sex"].map({"M": 0, "F": 1})
    table["Hypertension"] = SCANS["htn"].map({1: 1, 0: 2})
    table.to_excel(tmp_path / "export.xlsx", index=False)
    answers = {"Sex": "0 = male, 1 = female", "Hypertension": "1 = yes, 2 = no"}
    patients = load(tmp_path / "export.xlsx", answers, tmp_path).patients
    firsts = SCANS.drop_duplicates("patient")
    assert patients["sex"].tolist() == firsts["sex"].map({"M": 1, "F": 2}).tolist()
    assert patients["hypertension"].tolist() == firsts["htn"].tolist()


def test_which_of_two_volumes_is_asked(tmp_path: Path):
    table = long_table(LONG).assign(**{"ICH volume (mL)": 1.1 * SCANS["ml"]})
    table.to_excel(tmp_path / "export.xlsx", index=False)
    columns = "Hematoma volume (mL) | ICH volume (mL)"
    cohort = load(tmp_path / "export.xlsx", {columns: "Hematoma volume (mL)"}, tmp_path)
    assert labels_of(cohort) == expected_labels(SCANS)


def test_the_unit_of_a_volume_is_asked_where_its_size_does_not_show_it(tmp_path: Path):
    table = long_table(LONG).rename(columns={"Hematoma volume (mL)": "Hematoma volume"})
    table["Hematoma volume"] = (40 * SCANS["ml"]).round()  # neither mL nor 10^-3 mL
    table.to_excel(tmp_path / "export.xlsx", index=False)
    cohort = load(tmp_path / "export.xlsx", {"Hematoma volume": "10^-3 mL"}, tmp_path)
    assert cohort.scans["HM_volume"].tolist() == (40 * SCANS["ml"]).round().tolist()


def test_a_date_without_a_time_of_day_is_not_midnight(tmp_path: Path):
    long_table(LONG, "%Y-%m-%d").to_excel(tmp_path / "export.xlsx", index=False)
    cohort = load(tmp_path / "export.xlsx")
    assert cohort.scans["scan_time"].isna().all()
    assert cohort.scans["hours_from_onset"].isna().all()
    assert not any(label == 1 for label in labels_of(cohort).values())


def test_a_pressure_measured_at_each_scan_is_a_warning_and_the_first_is_used(tmp_path: Path):
    table = long_table(LONG)
    table["SBP"] = SCANS["sbp"] + 3 * SCANS["scan"]
    table.to_excel(tmp_path / "export.xlsx", index=False)
    cohort = load(tmp_path / "export.xlsx")
    assert cohort.findings.counts()["inconsistent_patient"] > 0
    assert cohort.patients["systolic"].tolist() == SCANS.drop_duplicates("patient")["sbp"].tolist()


def test_an_unknown_unit_in_the_mapping_is_refused(tmp_path: Path):
    english(tmp_path)
    cohort = load(tmp_path / "export.xlsx")
    assert cohort.mapping is not None
    (tmp_path / "mapping.yaml").write_text(cohort.mapping.to_yaml().replace("unit: mL", "unit: gallons"))
    with pytest.raises(UserError, match="the unit is 'gallons'; rule: mL or"):
        load_cohort(DataConfig("mapped", str(tmp_path / "export.xlsx"), str(tmp_path / "mapping.yaml")))


def test_an_error_in_a_cell_keeps_the_mapping_for_the_user(tmp_path: Path):
    table = long_table(LONG).astype({"Age": object})
    table.loc[3, "Age"] = "sixty"
    table.to_excel(tmp_path / "export.xlsx", index=False)
    with pytest.raises(CohortError) as error:
        load(tmp_path / "export.xlsx")
    assert error.value.mapping is not None
    assert error.value.mapping.tables[0].columns[0].means == "patient_id"


def test_a_time_under_an_unknown_header_is_asked(tmp_path: Path):
    english(tmp_path)
    table = pd.read_excel(tmp_path / "export.xlsx", engine="calamine").rename(
        columns={"Scan date/time": "Zeit A", "Onset time": "Zeit B"}
    )
    table.to_excel(tmp_path / "export.xlsx", index=False)
    cohort = load(tmp_path / "export.xlsx", {"Zeit A": "scan_time", "Zeit B": "onset_time"}, tmp_path)
    assert labels_of(cohort) == expected_labels(SCANS)


@pytest.mark.parametrize("header", ["Sex (1=female, 2=male)", "性别（女=1，男=2）"])
def test_the_legend_of_a_header_is_read(header: str, tmp_path: Path):
    table = long_table(LONG).rename(columns={"Sex": header})
    table[header] = SCANS["sex"].map({"M": 2, "F": 1})
    table.to_excel(tmp_path / "export.xlsx", index=False)
    firsts = SCANS.drop_duplicates("patient")
    assert load(tmp_path / "export.xlsx").patients["sex"].tolist() == firsts["sex"].map({"M": 1, "F": 2}).tolist()


def test_tables_without_a_common_patient_are_an_error(tmp_path: Path):
    linked_files(tmp_path)
    patients = pd.read_csv(tmp_path / "patients.csv")
    patients.assign(pid=patients["pid"].str.lower()).to_csv(tmp_path / "patients.csv", index=False)
    with pytest.raises(CohortError, match="write the ids alike"):
        load(tmp_path)


def test_one_more_column_of_the_same_meaning_in_a_mapping_is_refused(tmp_path: Path):
    english(tmp_path)
    mapping = load(tmp_path / "export.xlsx").mapping
    assert mapping is not None
    text = mapping.to_yaml().replace("means: ED_volume", "means: HM_volume")
    (tmp_path / "mapping.yaml").write_text(text)
    with pytest.raises(UserError, match=r"Hematoma volume \(mL\) and Edema volume \(mL\) are HM_volume"):
        load_cohort(DataConfig("mapped", str(tmp_path / "export.xlsx"), str(tmp_path / "mapping.yaml")))


@pytest.mark.parametrize(("male", "female"), [("Male", "Female"), ("m", "f"), ("男", "女")])
def test_the_words_for_codes_in_a_mapping_may_be_written_differently(male: str, female: str, tmp_path: Path):
    table = long_table(LONG).assign(Sex=SCANS["sex"].map({"M": 2, "F": 1}))
    table.to_excel(tmp_path / "export.xlsx", index=False)
    mapping = load(tmp_path / "export.xlsx").mapping
    assert mapping is not None
    next(column for column in mapping.tables[0].columns if column.means == "sex").values = {"2": male, "1": female}
    (tmp_path / "mapping.yaml").write_text(mapping.to_yaml(), encoding="utf-8")
    data = DataConfig("mapped", str(tmp_path / "export.xlsx"), str(tmp_path / "mapping.yaml"))
    firsts = SCANS.drop_duplicates("patient")
    assert load_cohort(data).patients["sex"].tolist() == firsts["sex"].map({"M": 1, "F": 2}).tolist()


def test_the_patient_id_is_asked_where_no_header_names_it(tmp_path: Path):
    long_table({**LONG, "patient": "Pt #"}).to_excel(tmp_path / "export.xlsx", index=False)
    cohort = load(tmp_path / "export.xlsx", {"Pt #": "Pt #"}, tmp_path)
    assert labels_of(cohort) == expected_labels(SCANS)


def test_the_volume_of_a_later_scan_is_not_taken_for_the_first(tmp_path: Path):
    table = long_table({"patient": "ID"}).drop_duplicates()
    table["Hematoma volume bei Eintritt (ml)"], table["Volume Kontrolle (ml)"] = 20.0, 30.0
    table.to_excel(tmp_path / "export.xlsx", index=False)
    answers = {"Hematoma volume bei Eintritt (ml)": "HM_volume of scan 1"}
    scans = load(tmp_path / "export.xlsx", answers, tmp_path).scans
    assert scans.groupby("scan_index")["HM_volume"].unique().map(list).tolist() == [[20_000], [30_000]]


@pytest.mark.parametrize(
    ("answer", "hours"),
    [("24 from first scan", [2, 26]), ("24 From onset.", [2, 24]), ("36 from onset", [2, 36]), ("unknown", [2, None])],
)
def test_the_time_of_a_scan_that_only_its_header_tells_is_asked(answer: str, hours: list[float | None], tmp_path: Path):
    table = pd.DataFrame(
        {
            "Patient": ["A", "B"],
            "Onset to CT (h)": [2, 2],
            "Baseline volume (mL)": [10, 20],
            "24h volume (mL)": [19, 20],
        }
    )
    table.to_csv(tmp_path / "wide.csv", index=False)
    scans = load(tmp_path / "wide.csv", {"24h volume (mL)": answer}).scans
    expected = pd.Series(hours * 2, name="hours_from_onset", dtype=float)
    pd.testing.assert_series_equal(scans["hours_from_onset"], expected)


def test_a_table_without_patients_is_an_error_that_names_the_file(tmp_path: Path):
    wide_table().T.reset_index().to_csv(tmp_path / "turned.csv", index=False, header=False)
    with pytest.raises(CohortError, match=r"turned\.csv: no column is a patient id"):
        load(tmp_path)


def test_a_mark_of_missing_values_is_not_a_patient(tmp_path: Path):
    table = long_table(LONG)
    table.loc[4, "Patient ID"] = "NA"
    table.to_csv(tmp_path / "export.csv", index=False)
    with pytest.raises(CohortError, match=r"export\.csv, cell A6: the patient id is empty"):
        load(tmp_path)
