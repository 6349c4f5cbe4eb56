"""A guess that would not be safe becomes a question, and every question has a right answer."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from cohort.hospital import labels_of, load

from hemexp.cohort.findings import CohortError
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.cohort.mapping.mapping import OpenQuestions, Question
from hemexp.config import ColumnsFeaturesConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.features import choose_inputs
from hemexp.errors import UserError

ONSETS = pd.Series(pd.to_datetime([f"2031-05-{day:02} 08:00" for day in range(4, 12)]))
FIRST = [10.4, 20.7, 30.2, 41.9, 8.8, 15.3, 22.6, 12.1]
SECOND = [19.5, 21.1, 39.8, 42.3, 9.1, 15.9, 35.4, 12.6]
LABELS = {f"P{i}": float(i in {0, 2, 6}) for i in range(8)}


def wide(**columns: object) -> pd.DataFrame:
    """Return a row a patient: ``Patient ID``, ``Onset time``, and columns whose headers have _ for a space."""
    table = pd.DataFrame({"Patient ID": list(LABELS), "Onset time": ONSETS})
    return table.assign(**{name.replace("_", " "): values for name, values in columns.items()})


def at(hours: float) -> pd.Series:
    return ONSETS + pd.Timedelta(hours=hours)


def long(**columns: object) -> pd.DataFrame:
    """Return a row a scan; `columns` are renamed to the texts that they are given, or added."""
    table = pd.DataFrame(
        {
            "Patient ID": [name for name in LABELS for _ in range(2)],
            "Onset time": ONSETS.repeat(2).to_list(),
            "Scan time": [time + pd.Timedelta(hours=hours) for time in ONSETS for hours in (2, 20)],
            "Hematoma volume (mL)": [volume for pair in zip(FIRST, SECOND, strict=True) for volume in pair],
        }
    )
    return table.assign(**columns)


def read(folder: Path, table: pd.DataFrame, answers: Mapping[str, str] | None = None) -> Cohort:
    table.to_csv(folder / "table.csv", index=False)
    return load(folder / "table.csv", answers)


def ask(folder: Path, table: pd.DataFrame) -> dict[str, Question]:
    """Return the questions about a table, by column."""
    table.to_csv(folder / "table.csv", index=False)
    with pytest.raises(OpenQuestions) as error:
        load_cohort(load_config(TrainConfig, [f"data.root={folder / 'table.csv'}"]).data)
    return {question.column: question for question in error.value.mapping.open_questions}


def problems(cohort: Cohort) -> set[str]:
    return {finding.problem for finding in cohort.findings.rows}


def test_which_of_two_methods_is_asked_for_each_scan(tmp_path: Path):
    names = {k: f"CT{k} volume ABC/2 (mL) | CT{k} volume segmented (mL)" for k in (1, 2)}
    table = wide(CT1_time=at(2), CT2_time=at(20)).assign(
        **{
            "CT1 volume ABC/2 (mL)": [1.2 * volume for volume in FIRST],
            "CT1 volume segmented (mL)": FIRST,
            "CT2 volume ABC/2 (mL)": [1.1 * volume for volume in SECOND],
            "CT2 volume segmented (mL)": SECOND,
        }
    )
    answers = {name: f"CT{k} volume segmented (mL)" for k, name in names.items()}
    assert labels_of(read(tmp_path, table, answers)) == LABELS


def test_a_total_beside_the_blood_in_the_ventricles_is_not_taken_for_the_hematoma(tmp_path: Path):
    table = long(**{"IVH (mL)": 3.0, "Total volume (mL)": 99.0}).rename(
        columns={"Hematoma volume (mL)": "Parenchymal (mL)"}
    )
    question = "Parenchymal (mL) | Total volume (mL)"
    assert ask(tmp_path, table)[question].candidates[:2] == ["Parenchymal (mL)", "Total volume (mL)"]
    assert labels_of(read(tmp_path, table, {question: "Parenchymal (mL)"})) == LABELS


def test_scans_that_no_header_numbers_are_asked_one_by_one(tmp_path: Path):
    table = wide(Pre_op_CT_time=at(2), Post_op_CT_time=at(20)).assign(
        **{"Pre op volume (mL)": FIRST, "Post op volume (mL)": SECOND}
    )
    answers = {f"{when} op {what}": "" for when in ("Pre", "Post") for what in ("CT time", "volume (mL)")}
    assert set(ask(tmp_path, table)) == set(answers)
    for column in answers:
        name = "scan_time" if "time" in column else "HM_volume"
        answers[column] = f"{name} of scan {1 if column.startswith('Pre') else 2}"
    assert labels_of(read(tmp_path, table, answers)) == LABELS


def test_a_header_that_is_repeated_numbers_the_scans(tmp_path: Path):
    table = pd.concat([wide(), pd.DataFrame({"a": at(2), "b": FIRST, "c": at(20), "d": SECOND})], axis=1)
    table.columns = pd.Index(["Patient ID", "Onset time", *["CT time", "Volume (mL)"] * 2])
    assert labels_of(read(tmp_path, table)) == LABELS


def test_the_date_of_a_visit_is_not_taken_for_the_time_of_the_second_scan(tmp_path: Path):
    table = wide(Baseline_CT_time=at(2), Follow_up_date=at(2000)).assign(
        **{"Baseline volume (mL)": FIRST, "Repeat CT volume (mL)": SECOND}
    )
    assert ask(tmp_path, table)["Follow up date"].candidates == ["scan_time of scan 2", "unused"]
    labels = labels_of(read(tmp_path, table, {"Follow up date": "unused"}))
    assert pd.Series(labels).isna().all()


@pytest.mark.parametrize("code", [999, 99, -9])
def test_a_code_for_missing_values_is_asked(code: int, tmp_path: Path):
    table = wide(CT1_time=at(2), CT2_time=at(20)).assign(
        **{"CT1 volume (mL)": FIRST, "CT2 volume (mL)": [*SECOND[:5], code, code, code]}
    )
    labels = labels_of(read(tmp_path, table, {"CT2 volume (mL)": f"{code} = no value"}))
    assert [name for name, label in labels.items() if label != LABELS[name]] == ["P5", "P6", "P7"]
    assert pd.isna(labels["P6"])


def test_hours_from_onset_are_known_by_their_unit(tmp_path: Path):
    table = wide().drop(columns="Onset time")
    for k, (hours, volumes) in enumerate(((2, FIRST), (20, SECOND)), start=1):
        table = table.assign(**{f"Time onset-CT{k} (h)": hours, f"Vol CT{k} (mL)": volumes})
    assert labels_of(read(tmp_path, table)) == LABELS


def test_unknown_words_are_asked_by_the_units_and_the_looks_of_their_cells(tmp_path: Path):
    columns = {"Patient ID": "Qx", "Onset time": "Qy", "Scan time": "Qz", "Hematoma volume (mL)": "Qw (cc)"}
    answers = {"Qx": "Qx", "Qy": "onset_time", "Qz": "scan_time", "Qw (cc)": "HM_volume"}
    assert labels_of(read(tmp_path, long().rename(columns=columns), answers)) == LABELS


def test_a_date_and_a_time_of_day_are_asked_each(tmp_path: Path):
    onset = long()["Onset time"]
    table = long(**{"Start day of symptoms": onset.dt.strftime("%Y-%m-%d"), "Start clock of symptoms": "08:00"})
    cohort = read(
        tmp_path,
        table.drop(columns="Onset time"),
        {"Start day of symptoms": "onset_time", "Start clock of symptoms": "onset_clock"},
    )
    assert labels_of(cohort) == LABELS


def test_events_that_name_hours_are_asked(tmp_path: Path):
    table = long(Timepoint=["Baseline", "24h"] * 8, **{"Onset to baseline CT (h)": 2.0})
    table = table.drop(columns=["Onset time", "Scan time"])
    assert labels_of(read(tmp_path, table, {"Timepoint": "hours_from_first_scan"})) == LABELS


def test_numbers_of_scans_are_not_serials(tmp_path: Path):
    table = long(**{"Scan no": [1, 2] * 8})
    cohort = read(tmp_path, table.iloc[::-1])
    assert labels_of(cohort) == LABELS
    assert cohort.scans["scan_serial"].tolist()[:2] == ["P7-1", "P7-2"]


def test_the_events_of_a_registry_with_fields_of_their_own_are_joined(tmp_path: Path):
    first = wide(bl_ct_time=at(2), bl_ich_vol=FIRST).assign(redcap_event_name="baseline")
    second = wide(fu_ct_time=at(20), fu_ich_vol=SECOND).assign(redcap_event_name="followup")
    table = pd.concat([first, second.drop(columns="Onset time")]).sort_values("Patient ID", kind="stable")
    cohort = read(tmp_path, table.rename(columns={"bl ich vol": "bl ich vol ml", "fu ich vol": "fu ich vol ml"}))
    assert labels_of(cohort) == LABELS
    assert "rows_joined" in problems(cohort)


def test_notes_and_rows_that_repeat_another_row_are_not_read(tmp_path: Path):
    table = pd.concat([long(), long().iloc[[3]], pd.DataFrame({"Patient ID": ["* checked by two readers"]})])
    cohort = read(tmp_path, table)
    assert labels_of(cohort) == LABELS
    assert {"note_row", "repeated_row"} <= problems(cohort)


def test_a_later_scan_before_the_first_is_an_error_where_only_hours_are_given(tmp_path: Path):
    table = wide(Onset_to_first_CT=5.0, Onset_to_second_CT=[2.0, *[20.0] * 7]).drop(columns="Onset time")
    table = table.rename(columns={name: f"{name} (h)" for name in table if name.startswith("Onset")})
    table = table.assign(**{"First hematoma volume (mL)": FIRST, "Second hematoma volume (mL)": SECOND})
    with pytest.raises(CohortError, match=r"-3\.00 hours after the first scan; rule: above 0"):
        read(tmp_path, table)


def test_a_volume_without_the_number_of_its_scan_is_an_error(tmp_path: Path):
    table = wide(CT1_time=at(2), CT2_time=at(20)).assign(**{"CT1 volume (mL)": FIRST, "CT2 volume (mL)": SECOND})
    cohort = read(tmp_path, table)
    assert cohort.mapping is not None
    mapping = tmp_path / "wrong.yaml"
    column = cohort.mapping.tables[0].columns[-1]
    assert column.scan == 1
    column.scan = None
    mapping.write_text(cohort.mapping.to_yaml(), encoding="utf-8")
    with pytest.raises(CohortError, match=r"'CT2 volume \(mL\)' is HM_volume without the number of the scan"):
        load_cohort(load_config(TrainConfig, [f"data.root={tmp_path / 'table.csv'}", f"data.mapping={mapping}"]).data)


def test_times_with_and_without_a_time_zone_are_not_mixed(tmp_path: Path):
    table = long()
    table["Scan time"] = table["Scan time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(CohortError, match="'Onset time' has no time zone, but 'Scan time' has"):
        read(tmp_path, table)
    table["Onset time"] = table["Onset time"].dt.strftime("%Y-%m-%dT%H:%M:%S+00:00")
    assert labels_of(read(tmp_path, table)) == LABELS


@pytest.mark.parametrize(
    ("encoding", "header"),
    [
        ("cp949", "혈종량 (cc)"),
        ("cp932", "ヘマトーマのようせき (mL)"),
        ("cp1254", "Hematom hacmi ığş (cc)"),
        ("gbk", "血肿体积(mL)"),
    ],
)
def test_old_encodings_are_recognized(encoding: str, header: str, tmp_path: Path):
    path = tmp_path / "old.csv"
    table = long(**{header: long()["Hematoma volume (mL)"]}).drop(columns="Hematoma volume (mL)")
    table.to_csv(path, index=False, encoding=encoding)
    cohort = load(path, {header: "HM_volume"})
    assert labels_of(cohort) == LABELS


def test_a_question_stays_open_until_it_is_answered_there_or_in_the_column(tmp_path: Path):
    table = wide(Onset_to_CT=2.0).drop(columns="Onset time").rename(columns={"Onset to CT": "Onset to CT (h)"})
    table = table.assign(**{"Baseline volume (mL)": FIRST, "24h volume (mL)": SECOND})
    (question,) = ask(tmp_path, table).values()
    with pytest.raises(AssertionError, match="left questions open"):
        load(tmp_path / "table.csv", {question.column: None})
    path = tmp_path / "mapping.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("scan: 1") == 1
    path.write_text(text.replace("scan: 1", "scan: 1\n    hours: 18 from first scan"), encoding="utf-8")
    data = load_config(TrainConfig, [f"data.root={tmp_path / 'table.csv'}", f"data.mapping={path}"]).data
    assert labels_of(load_cohort(data)) == LABELS


def test_other_columns_are_not_asked_about(tmp_path: Path):
    other = {
        "Chart": [f"C{i:03}" for i in range(8)],
        "Height (cm)": range(160, 168),
        "Admission date": "2031-05-04 09:00",
        "Edema 24 h (ml)": 4.5,
        "Midline shift (mm)": [0, 9, 9, 1, 2, 3, 4, 5],
        "NIHSS": [0, 1, 2, 3, 4, 5, 9, 9],
        "Remarks": "none",
    }
    table = wide(CT1_time=at(2), CT2_time=at(20)).assign(
        **{"CT1 volume (mL)": FIRST, "CT2 volume (mL)": SECOND, **other}
    )
    cohort = read(tmp_path, table.drop(columns="Patient ID"))
    assert list(labels_of(cohort).values()) == list(LABELS.values())


def test_the_only_column_that_can_be_the_patient_id_is_taken(tmp_path: Path):
    table = wide(CT1_time=at(2), CT2_time=at(20)).assign(**{"CT1 volume (mL)": FIRST, "CT2 volume (mL)": SECOND})
    assert labels_of(read(tmp_path, table.rename(columns={"Patient ID": "Qx"}))) == LABELS


def test_texts_such_as_na_are_missing_in_an_input_of_the_user(tmp_path: Path):
    table = long(Location=["lobar", "n/a", "deep", "?"] * 4)
    path = tmp_path / "mapping.yaml"
    cohort = read(tmp_path, table)
    assert cohort.mapping is not None
    cohort.mapping.tables[0].columns[-1].means = "input"
    path.write_text(cohort.mapping.to_yaml(), encoding="utf-8")
    data = load_config(TrainConfig, [f"data.root={tmp_path / 'table.csv'}", f"data.mapping={path}"]).data
    cohort = load_cohort(data)
    assert set(cohort.scans["Location"].dropna()) == {"lobar", "deep"}
    (finding,) = [f for f in cohort.findings.rows if f.problem == "missing_text"]
    assert "Location is 'n/a' (4), '?' (4); 8 cells read as empty" in finding.message


def test_a_column_of_a_later_scan_cannot_be_an_input(tmp_path: Path):
    table = wide(CT1_time=at(2), CT2_time=at(20)).assign(**{"CT1 volume (mL)": FIRST, "CT2 volume (mL)": SECOND})
    cohort = read(tmp_path, table)
    features = ColumnsFeaturesConfig(name="columns", columns=["CT2 volume (mL)"])
    with pytest.raises(UserError, match=r"CT2 volume \(mL\) is a column of a later scan; rule: an input is known at"):
        choose_inputs(cohort, features, range(8))
    assert choose_inputs(
        cohort, ColumnsFeaturesConfig(name="columns", columns=["CT1 volume (mL)"]), range(8)
    ).names == ["HM_volume"]


def test_a_header_that_every_scan_has_means_the_first_scan():
    cohort = load_cohort(load_config(TrainConfig, ["data.num_patients=10"]).data)  # HM_volume once for each scan
    features = ColumnsFeaturesConfig(name="columns", columns=["HM_volume"])
    assert choose_inputs(cohort, features, range(8)).names == ["HM_volume"]
