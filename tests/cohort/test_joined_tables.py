"""Tables as data managers make them: joined, summed up, with a second header, marks and shortened numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from cohort.hospital import draw_scans, expected_labels, labels_of, load

from hemexp.cohort.load import Cohort, load_cohort
from hemexp.cohort.mapping.mapping import OpenQuestions
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError

VOLUME = "Hematoma volume (mL)"


def long_table(number: int = 36) -> pd.DataFrame:
    """Return a row a scan, with times."""
    scans = draw_scans(number)
    return pd.DataFrame(
        {
            "Patient ID": scans.patient,
            "Scan time": scans.time.dt.strftime("%Y-%m-%d %H:%M"),
            "Onset time": scans.onset.dt.strftime("%Y-%m-%d %H:%M"),
            "Age": scans.age,
            "Sex": scans.sex,
            VOLUME: scans.ml,
            "Edema volume (mL)": scans.edema_ml,
            "GCS": scans.gcs,
        }
    )


def wide_table(*headers: str) -> pd.DataFrame:
    """Return a row a patient; the headers are those of hours and volume of the first and of the second scan."""
    scans = draw_scans(36)
    scans["hours"] = ((scans.time - scans.onset).dt.total_seconds() / 3600).round(2)
    first, second = (scans[scans.scan == k].set_index("patient") for k in (0, 1))
    values = (first.hours, first.ml, second.hours, second.ml)
    table = pd.DataFrame({"Study ID": first.index, "Age": first.age.to_numpy()})
    return table.assign(**{header: column.to_numpy() for header, column in zip(headers, values, strict=True)})


def read(table: pd.DataFrame, folder: Path) -> Cohort:
    table.to_csv(folder / "ct.csv", index=False)
    return load(folder / "ct.csv")


def problems(cohort: Cohort) -> list[str]:
    return [finding.problem for finding in cohort.findings.rows]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("CT1 hematoma volume (mL)", "Follow-up hematoma volume (mL)"),
        ("CT1 hematoma volume (mL)", "Repeat hematoma volume (mL)"),
        ("1st CT hematoma volume (mL)", "Follow-up CT hematoma volume (mL)"),
        ("CT1 hematoma volume (mL)", "Follow-up 1 hematoma volume (mL)"),
        ("Baseline hematoma volume (mL)", "Follow-up hematoma volume (mL)"),
        ("第1次血肿体积 (mL)", "复查血肿体积 (mL)"),
    ],
)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_follow_up_comes_after_a_scan_with_a_number(first: str, second: str, is_reversed: bool, tmp_path: Path):
    table = wide_table("Onset to CT1 (h)", first, "Onset to CT2 (h)", second)
    cohort = read(table[table.columns[::-1]] if is_reversed else table, tmp_path)
    volumes = cohort.scans.pivot(index="patient_id", columns="scan_index", values="HM_volume") / 1000
    wanted = table.set_index("Study ID")[[first, second]]
    assert np.allclose(volumes.loc[wanted.index], wanted)


def test_a_repeat_beside_two_numbered_scans_is_the_third(tmp_path: Path):
    table = wide_table("Onset to CT1 (h)", "CT1 volume (mL)", "Onset to CT2 (h)", "CT2 volume (mL)")
    table["Onset to repeat CT (h)"] = table["Onset to CT2 (h)"] + 30
    table["Repeat CT volume (mL)"] = table["CT2 volume (mL)"] + 1
    scans = read(table, tmp_path).scans
    assert scans.groupby("patient_id").size().eq(3).all()
    assert (scans.groupby("patient_id")["hours_from_onset"].diff().dropna() > 0).all()


@pytest.mark.parametrize("change", ["order", "unit", "none"])
def test_a_second_header_that_differs_is_an_error(change: str, tmp_path: Path):
    table = long_table()
    below = table.iloc[50:]
    if change == "order":
        below = below[[*table.columns[:5], "Edema volume (mL)", VOLUME, "GCS"]]
    elif change == "unit":
        below = below.rename(columns={VOLUME: "Hematoma volume (µL)"})
    text = table.iloc[:50].to_csv(index=False) + below.to_csv(index=False)
    (tmp_path / "ct.csv").write_text(text)
    if change == "none":
        assert "repeated_header" in problems(load(tmp_path / "ct.csv"))
    else:
        with pytest.raises(UserError, match=r"cell F52: the row holds headers again"):
            load(tmp_path / "ct.csv")


@pytest.mark.parametrize("name", ["Scan index", "scan_index", "检查序次"])
def test_scans_may_be_numbered_from_1(name: str, tmp_path: Path):
    table = long_table()
    numbers = table.groupby("Patient ID").cumcount()
    cohort = read(table.assign(**{name: numbers + 1}), tmp_path)
    assert labels_of(cohort) == expected_labels(draw_scans(36))
    assert cohort.scans["scan_index"].tolist() == numbers.tolist()


def test_scans_csv_that_numbers_scans_from_1_is_refused(tmp_path: Path):
    scans = pd.DataFrame({"patient_id": ["a", "a", "b", "b"], "scan_index": [1, 2, 1, 2]})
    scans["scan_serial"], scans["scan_time"] = list("1234"), pd.date_range("2031-01-01", periods=4, freq="6h")
    scans["onset_to_first_scan"], scans["hours_from_first_scan"] = 1.0, [0, 6, 0, 6]
    scans["hours_from_onset"], scans["HM_volume"] = [1, 7, 1, 7], [9000.0, 9500, 12000, 12500]
    scans.to_csv(tmp_path / "scans.csv", index=False)
    with pytest.raises(UserError, match="scan_index is 1 in row 1 of the patient; rule: 0, 1, 2"):
        load(tmp_path / "scans.csv")


@pytest.mark.parametrize("is_equal", [True, False])
def test_a_doubled_row_in_a_table_of_patients_is_named(is_equal: bool, tmp_path: Path):
    table = long_table()
    patients = table.drop_duplicates("Patient ID")[["Patient ID", "Onset time", "Age", "Sex"]]
    again = patients.iloc[[4]].assign(Age=lambda each: each.Age + (0 if is_equal else 1))
    with pd.ExcelWriter(tmp_path / "both.xlsx") as book:
        pd.concat([patients, again]).to_excel(book, sheet_name="Patients", index=False)
        table[["Patient ID", "Scan time", VOLUME]].to_excel(book, sheet_name="Scans", index=False)
    if is_equal:
        cohort = load(tmp_path / "both.xlsx")
        assert "repeated_row" in problems(cohort)
        assert labels_of(cohort) == expected_labels(draw_scans(36))
    else:
        with pytest.raises(UserError, match=r"sheet Patients, cell A38: patient P005 is also in row 6"):
            load(tmp_path / "both.xlsx")


@pytest.mark.parametrize("header", ["GCS 24h", "GCS day 7", "GCS follow-up"])
def test_a_later_value_is_not_an_input_where_a_row_is_a_scan(header: str, tmp_path: Path):
    cohort = read(long_table().rename(columns={"GCS": header}), tmp_path)
    assert "gcs" not in cohort.scans
    assert any(header in finding.message and "later time" in finding.message for finding in cohort.findings.rows)


def test_a_single_date_without_a_time_is_named(tmp_path: Path):
    table = long_table()
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(list(table.columns))
    for row in table.assign(**{k: pd.to_datetime(table[k]) for k in ("Scan time", "Onset time")}).itertuples():
        sheet.append([each.to_pydatetime() if isinstance(each, pd.Timestamp) else each for each in row[1:]])
    for row in sheet.iter_rows(min_row=2):
        if row[0].value == "P001":
            row[2].value = row[2].value.date()
    book.save(tmp_path / "ct.xlsx")
    found = load(tmp_path / "ct.xlsx").findings.rows
    assert any(finding.problem == "midnight" and finding.row == 2 for finding in found)


def test_times_on_a_dial_of_12_hours_are_named(tmp_path: Path):
    table, onset = long_table(), pd.to_datetime(long_table()["Onset time"])
    cohort = read(table.assign(**{"Onset time": onset.dt.strftime("%Y-%m-%d %I:%M")}), tmp_path)
    assert "half_day" in problems(cohort)


@pytest.mark.parametrize("cell", ["12²", "21.1¹", "12①", "12½"])
def test_a_mark_behind_a_number_is_not_a_digit(cell: str, tmp_path: Path):
    table = long_table().astype({VOLUME: object})
    table.loc[3, VOLUME] = cell
    with pytest.raises(UserError, match=r"cell F5: HM_volume is"):
        read(table, tmp_path)


@pytest.mark.parametrize("unit", ["log", "voxels", "ml/kg", "z-score", "category", "slices", "fl oz"])
def test_a_volume_in_another_measure_is_asked_about(unit: str, tmp_path: Path):
    with pytest.raises(OpenQuestions, match="Is this the hematoma volume"):
        load_unanswered(long_table().rename(columns={VOLUME: f"Hematoma volume ({unit})"}), tmp_path)


def load_unanswered(table: pd.DataFrame, folder: Path) -> Cohort:
    table.to_csv(folder / "ct.csv", index=False)
    return load_cohort(load_config(TrainConfig, [f"data.root={folder / 'ct.csv'}"]).data)


@pytest.mark.parametrize("name", ["Grand Total", "Grand Average", "Subtotal", "Overall", "Std. dev.", "IQR", "小计"])
def test_a_row_of_sums_is_not_a_patient(name: str, tmp_path: Path):
    table = wide_table("Onset to CT1 (h)", "CT1 volume (mL)", "Onset to CT2 (h)", "CT2 volume (mL)")
    last = pd.DataFrame([[name, *table.mean(numeric_only=True).round(1)]], columns=table.columns)
    cohort = read(pd.concat([table, last]), tmp_path)
    assert "totals_row" in problems(cohort)
    assert cohort.scans["patient_id"].nunique() == len(table)


def test_shortened_ids_are_an_error(tmp_path: Path):
    table = long_table()
    table["Patient ID"] = [f"{123_450_000 + int(each[1:]) * 500_000:.2E}" for each in table["Patient ID"]]
    with pytest.raises(UserError, match=r"cell A2: patient_id is .*Excel has shortened the numbers"):
        read(table, tmp_path)


@pytest.mark.parametrize("mark", ["*", "#", "…"])
def test_an_id_without_a_letter_or_digit_is_missing(mark: str, tmp_path: Path):
    table = long_table()
    table.loc[0, "Patient ID"] = mark
    with pytest.raises(UserError, match=r"cell A2: the patient id is empty"):
        read(table, tmp_path)


ASKED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "999 among platelets": (
        lambda table: table.assign(Platelets=[999 if int(i[1:]) % 5 == 0 else 200 for i in table["Patient ID"]]),
        "Does 999 mean",
    ),
    "0 among platelets": (
        lambda table: table.assign(Platelets=[0 if int(i[1:]) % 5 == 0 else 200 for i in table["Patient ID"]]),
        "Does 0 mean",
    ),
    "varon and mujer": (lambda table: table.assign(Sex=table.Sex.map({"M": "V", "F": "M"})), "Which value means male"),
    "two drugs": (
        lambda table: table.assign(
            Anticoagulant=[("", "warfarin", "apixaban")[int(i[1:]) % 3] for i in table["Patient ID"]]
        ),
        "apixaban = yes, warfarin = yes",
    ),
}


@pytest.mark.parametrize(("change", "question"), ASKED.values(), ids=ASKED)
def test_codes_that_may_mean_two_things_are_asked_about(
    change: Callable[[pd.DataFrame], pd.DataFrame], question: str, tmp_path: Path
):
    with pytest.raises(OpenQuestions, match=question):
        load_unanswered(change(long_table()), tmp_path)


def test_an_answer_about_missing_values_is_written_as_it_is_shown(tmp_path: Path):
    table = ASKED["999 among platelets"][0](long_table())
    table.to_csv(tmp_path / "ct.csv", index=False)
    with pytest.raises(OpenQuestions) as error:
        load_unanswered(table, tmp_path)
    (question,) = error.value.mapping.open_questions
    text = error.value.mapping.to_yaml().replace("answer: null", f"answer: {question.candidates[0]}")
    (tmp_path / "mapping.yaml").write_text(text)
    overrides = [f"data.root={tmp_path / 'ct.csv'}", f"data.mapping={tmp_path / 'mapping.yaml'}"]
    platelets = load_cohort(load_config(TrainConfig, overrides).data).scans["platelets"]
    assert platelets.isna().any()
    assert platelets.max() == 200


def test_a_column_in_another_unit_is_told_how_to_say_so(tmp_path: Path):
    table = long_table()
    table[VOLUME] *= 1000
    with pytest.raises(UserError, match=r"if the cells hold mm³, the unit of the column is 10\^-3 mL"):
        read(table, tmp_path)


def test_an_id_typed_as_another_one_is_named_in_its_own_row(tmp_path: Path):
    table = long_table()
    table = table[table.groupby("Patient ID")["Age"].transform("size") == 3].reset_index(drop=True)
    table.loc[2, "Patient ID"] = table.loc[3, "Patient ID"]
    with pytest.raises(UserError, match=r"cell C4: the onset of patient .* in other rows") as error:
        read(table, tmp_path)
    assert "1 error" in str(error.value)


def test_a_sum_of_two_volumes_is_not_one_of_them(tmp_path: Path):
    cohort = read(long_table().assign(**{"ICH + IVH volume (mL)": long_table()[VOLUME] + 5}), tmp_path)
    assert "ivh_volume" not in cohort.scans


def test_a_small_volume_is_named_with_its_unit(tmp_path: Path):
    table = long_table()
    table.loc[0, VOLUME] = 0.1
    (finding,) = (each for each in read(table, tmp_path).findings.rows if each.problem == "volume_unit")
    assert "0.1 mL" in finding.message
    assert "multiply" not in finding.message
