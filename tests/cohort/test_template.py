"""The blank workbooks and the page of the data dictionary come from columns.yaml and are read without a question."""

import importlib.util
from collections import Counter
from datetime import datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hospital import draw_scans, expected_labels
from openpyxl.worksheet.worksheet import Worksheet
from small import ROOT

from hemexp.cohort.columns import EXAMPLE_IDS, known_columns
from hemexp.cohort.headers import read_header, squeeze
from hemexp.cohort.template import (
    LANGUAGES,
    describe_use,
    describe_values,
    list_template_columns,
    make_header,
    write_templates,
)
from hemexp.commands.prepare import prepare
from hemexp.config import PrepareConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError

SHEETS = {"english": ("patients", "scans", "dictionary"), "chinese": ("患者", "检查", "数据字典")}
PATIENT, SCAN = list_template_columns("patients"), list_template_columns("scans")


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, openpyxl.Workbook]:
    paths = write_templates(tmp_path_factory.mktemp("templates"))
    return dict(zip(LANGUAGES, map(openpyxl.load_workbook, paths), strict=True))


def find_column(sheet: Worksheet, header: str) -> str:
    return next(cell.column_letter for cell in sheet[1] if cell.value == header)


def test_no_two_columns_share_a_header():
    texts = Counter(
        text
        for name, column in known_columns().items()
        for text in {squeeze(each) for each in (name, column.meaning, column.chinese, *column.synonyms)}
    )
    assert [text for text, count in texts.items() if count > 1] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_header_of_a_template_is_recognized(templates: dict[str, openpyxl.Workbook], language: str):
    for name, columns in zip(SHEETS[language][:2], (PATIENT, SCAN), strict=True):
        headers = [cell.value for cell in templates[language][name][1]]
        found = [read_header(header) for header in headers]
        assert [header.means for header in found] == [column.name for column in columns]
        assert all(header.exact and header.occasion is None for header in found)
        assert {header.unit for header in found if header.means in ("HM_volume", "ED_volume", "ivh_volume")} <= {"mL"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_data_dictionary_has_a_row_for_each_column_and_is_not_taken_for_data(
    templates: dict[str, openpyxl.Workbook], language: str
):
    _, header, *rows = templates[language][SHEETS[language][2]].values
    assert [read_header(text).means for text in header] == [""] * len(header)
    assert [row[0] for row in rows] == [make_header(column, language) for column in (*PATIENT, *SCAN)]
    assert all(row[2] and row[5] and row[6] and row[7] for row in rows)


def test_the_chinese_template_is_translated():
    for column in (*PATIENT, *SCAN):
        for describe in (describe_values, describe_use, make_header):
            assert describe(column, "chinese") != describe(column, "english") or column.name == "inr"


def test_excel_offers_words_and_refuses_numbers_out_of_range(templates: dict[str, openpyxl.Workbook]):
    english, chinese = templates["english"], templates["chinese"]
    rules = {
        str(rule.sqref).split(":")[0].rstrip("0123456789"): rule
        for rule in english["patients"].data_validations.dataValidation
    }
    assert rules[find_column(english["patients"], "Sex")].formula1 == '"male,female"'
    assert rules[find_column(english["patients"], "Smoking")].formula1 == '"yes,no"'
    age = rules[find_column(english["patients"], "Age (years)")]
    assert (age.type, age.formula1, age.formula2, age.error) == ("decimal", "0", "120", "number from 0 to 120")
    assert rules[find_column(english["patients"], "mRS after 90 days")].type == "whole"
    onset = rules[find_column(english["patients"], "Onset date and time (YYYY-MM-DD hh:mm) *")]
    assert onset.type == "date"
    lists = {rule.formula1 for rule in chinese["患者"].data_validations.dataValidation if rule.type == "list"}
    assert lists == {'"男,女"', '"是,否"'}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_row_is_complete_and_named_so_that_it_is_not_read(
    templates: dict[str, openpyxl.Workbook], language: str
):
    for name in SHEETS[language][:2]:
        sheet = templates[language][name]
        assert sheet.max_row == 2
        assert sheet["A2"].value in EXAMPLE_IDS
        assert all(cell.value is not None for cell in sheet[2])
        assert sheet.freeze_panes == "B2"


def test_ids_are_text_and_times_are_dates(templates: dict[str, openpyxl.Workbook]):
    sheet = templates["english"]["scans"]
    assert [sheet[f"{letter}2"].number_format for letter in "ABC"] == ["@", "@", "yyyy-mm-dd hh:mm"]
    assert isinstance(sheet["C2"].value, datetime)


def test_examples_are_legal_values():
    for column in (*PATIENT, *SCAN):
        if column.range and column.kind != "sex":
            factor = 1000 if column.kind == "volume" else 1
            assert column.range[0] <= factor * column.example <= column.range[1], column.name


def test_prepare_writes_templates_and_never_over_filled_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cfg = load_config(PrepareConfig, [f"template={tmp_path / 'blank'}"])
    assert prepare(cfg, tmp_path / "out") is None
    files = ["hemexp_template_chinese.xlsx", "hemexp_template_english.xlsx"]
    assert sorted(path.name for path in (tmp_path / "blank").iterdir()) == files
    assert "hemexp_template_english.xlsx" in capsys.readouterr().out
    english = tmp_path / "blank" / "hemexp_template_english.xlsx"
    english.unlink()
    prepare(cfg, tmp_path / "out")  # as after a kill between the two files
    english.write_bytes(english.read_bytes() + b"filled")
    with pytest.raises(UserError, match=r"hemexp_template_english\.xlsx exists and is not overwritten"):
        prepare(cfg, tmp_path / "out")
    assert english.read_bytes().endswith(b"filled")


def fill_in(path: Path, words: dict[object, str]) -> None:
    """Fill a template in with the scans of `hospital`, below the example rows."""
    book, scans = openpyxl.load_workbook(path), draw_scans()
    patients = [
        {"patient_id": row.patient, "onset_time": row.onset, "age": row.age, "sex": words[row.sex],
         "hypertension": words[row.htn], "systolic": row.sbp, "diastolic": row.dbp}
        for row in scans[scans["scan"] == 0].itertuples()
    ]  # fmt: skip
    rows = [
        {"patient_id": row.patient, "scan_time": row.time, "HM_volume": row.ml, "ED_volume": row.edema_ml}
        for row in scans.itertuples()
    ]
    for sheet, columns, values in zip(book.worksheets, (PATIENT, SCAN), (patients, rows), strict=False):
        positions = {column.name: position for position, column in enumerate(columns, start=1)}
        for number, row in enumerate(values, start=3):
            for name, value in row.items():
                sheet.cell(number, positions[name], value)
    book.save(path)


WORDS: dict[str, dict[object, str]] = {
    "english": {"M": "male", "F": "female", 1: "yes", 0: "no"},
    "chinese": {"M": "男", "F": "女", 1: "是", 0: "否"},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_filled_template_is_read_without_a_question(language: str, tmp_path: Path):
    write_templates(tmp_path)
    path = tmp_path / f"hemexp_template_{language}.xlsx"
    fill_in(path, WORDS[language])
    prepare(load_config(PrepareConfig, [f"data.root={path}"]), tmp_path / "out")
    labels, patients, quality = (
        pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("labels", "patients", "quality")
    )
    scans = draw_scans()
    assert dict(zip(labels["patient_id"], labels["expansion"], strict=True)) == expected_labels(scans)
    first = scans[scans["scan"] == 0].reset_index(drop=True)
    assert patients["sex"].tolist() == first["sex"].map({"M": 1, "F": 2}).tolist()
    assert patients["hypertension"].tolist() == first["htn"].tolist()
    assert patients["HM_volume"].tolist() == pytest.approx((1000 * first["ml"]).tolist())
    assert "gcs" not in patients  # not filled in
    assert set(quality["problem"]) <= {"empty_columns"}  # optional columns that were not filled in


def test_a_template_and_a_cohort_are_two_calls(tmp_path: Path, workbooks: Path):
    with pytest.raises(UserError, match=r"template=.*remove template or data\.root"):
        load_config(PrepareConfig, [f"template={tmp_path}", f"data.root={workbooks}"])


def test_the_page_of_the_columns_is_made_from_the_data_dictionary():
    spec = importlib.util.spec_from_file_location("make_columns_page", ROOT / "docs" / "make_columns_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    message = "docs/columns.md is out of date: run python docs/make_columns_page.py"
    assert (ROOT / "docs" / "columns.md").read_text(encoding="utf-8") == module.make_page(), message
