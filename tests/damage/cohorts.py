"""Undamaged cohorts in the forms that hospitals have."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import openpyxl
import pandas as pd
from cohort.hospital import draw_scans
from damage.folder import Book, Folder, Grid

from hemexp.cohort import columns as c
from hemexp.cohort.load import load_cohort
from hemexp.cohort.synthetic import write_workbooks
from hemexp.config import WORKBOOKS, DataConfig, SyntheticDataConfig

_LONG = {
    "patient": "Patient ID", "time": "Scan date/time", "onset": "Onset time", "age": "Age", "sex": "Sex", "sbp": "SBP",
    "dbp": "DBP", "htn": "Hypertension", "ml": "Hematoma volume (mL)", "edema_ml": "Edema volume (mL)", "gcs": "GCS",
}  # fmt: skip
_MEANINGS = {
    "patient": "patient_id", "time": "scan_time", "onset": "onset_time", "age": "age", "sex": "sex", "sbp": "systolic",
    "dbp": "diastolic", "htn": "hypertension", "ml": "HM_volume", "edema_ml": "ED_volume", "gcs": "gcs",
}  # fmt: skip


_PATIENTS = 36  # of the tables of hospitals
_MOST_SCANS = 3  # of a patient: more columns take longer to read


@cache
def published() -> Folder:
    """Return the four workbooks of the published layout: 24 patients with follow-up and 2 without."""
    with tempfile.TemporaryDirectory() as parent:
        data = SyntheticDataConfig("synthetic", num_patients=24, num_unlabelled=2, prevalence=0.3, planted_errors=False)
        write_workbooks(data, Path(parent))
        folder = Folder(
            {
                path.name: Book(
                    {
                        sheet.title: Grid([list(row) for row in sheet.iter_rows(values_only=True)])
                        for sheet in openpyxl.load_workbook(path).worksheets
                    }
                )
                for path in sorted(Path(parent).iterdir())
            }
        )
        _keep_first_scans(folder)
        folder.write(Path(parent) / "short")
        scans = load_cohort(DataConfig("workbook", str(Path(parent) / "short"))).scans
    books = folder.books
    patients = dict(zip(scans["scan_serial"], scans["patient_id"], strict=True))
    ids = list(dict.fromkeys(scans["patient_id"]))
    patients |= dict(zip(ids, ids, strict=True))
    index = next(book for name, book in books.items() if name.startswith("附表"))
    for row in next(iter(index.sheets.values())).rows[1:]:
        patients[str(row[0])] = patients[str(row[3])]
    names = {header: {name} for header, name in c.NUMBER_HEADERS.items()}
    names |= {name: {name} for name in c.LOCATION}
    names |= {feature: {f"Hemo_{feature}", f"ED_{feature}"} for feature in (*c.SHAPE, *c.FIRST_ORDER)}
    names |= {name: {name, "ratios"} for name in (*c.RATIOS["HM"], *c.RATIOS["ED"])}
    names |= {c.SEX_HEADER: {"sex"}, c.PRESSURE_HEADER: {"systolic", "diastolic", "blood pressure"}}
    names |= {c.PART_HEADER: {"dataset_part"}, c.SERIAL_HEADER: {"first scan"}}
    return Folder(books, patients, names, is_published=True)


def _keep_first_scans(folder: Folder) -> None:
    """Leave out the later follow-ups of every table."""
    _, volumes, shapes, index = (list(book.sheets.values()) for book in _in_order(folder))
    block = len(c.LOCATION) + 1
    volumes[0].rows = [row[: 1 + _MOST_SCANS * block] for row in volumes[0].rows]
    serials = {str(row[j]) for row in volumes[0].rows for j in range(1, len(row), block)}
    for sheet in shapes:
        sheet.rows[1:] = [row for row in sheet.rows[1:] if str(row[1]) in serials]
    index[0].rows = [row[: 2 + _MOST_SCANS * 2] for row in index[0].rows]
    for row in index[0].rows[1:]:
        row[1] = min(row[1], _MOST_SCANS)


def _in_order(folder: Folder) -> list[Book]:
    """Return the tables in the published order."""
    return [
        next(book for name, book in folder.books.items() if name.startswith(prefix)) for prefix in WORKBOOKS.values()
    ]


def _frame(names: dict[str, str], form: str) -> pd.DataFrame:
    table = draw_scans(_PATIENTS)[list(names)].copy()
    if form in {"csv", "tsv"}:
        for name in {"time", "onset"} & set(names):
            table[name] = table[name].dt.strftime("%d/%m/%Y %H:%M" if form == "csv" else "%Y-%m-%d %H:%M")
    return table.rename(columns=names)


def _grid(table: pd.DataFrame) -> Grid:
    rows = [
        [
            None if pd.isna(value) else value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
            for value in row
        ]
        for row in table.astype(object).itertuples(index=False)
    ]
    return Grid([list(table.columns), *rows])


def _folder(books: dict[str, Book], names: dict[str, set[str]]) -> Folder:
    ids = draw_scans(_PATIENTS)["patient"].unique()
    return Folder(books, dict(zip(ids, ids, strict=True)), names)


def _book(sheets: dict[str, Grid], form: str) -> Book:
    return Book(sheets, separator="\t" if form == "tsv" else ",")


def _names(names: dict[str, str]) -> dict[str, set[str]]:
    words = {"ml": {"hematoma volumes"}, "sbp": {"blood pressure"}, "dbp": {"blood pressure"}}
    return {header: {_MEANINGS[name], *words.get(name, ())} for name, header in names.items()}


def long_table(form: str) -> Folder:
    """Return one table with a row a scan; the patient's own values are in each of its rows."""
    sheet = "" if form in {"csv", "tsv", "parquet"} else "Export"
    return _folder({f"export.{form}": _book({sheet: _grid(_frame(_LONG, form))}, form)}, _names(_LONG))


def wide_table(form: str) -> Folder:
    """Return one table with a row a patient: its scans are side by side."""
    rows, names = [], {"Study ID": {"patient_id"}, "Age (years)": {"age"}, "Gender": {"sex"}}
    for patient, scans in draw_scans(_PATIENTS).groupby("patient", sort=False):
        row = {"Study ID": patient, "Age (years)": scans["age"].iloc[0], "Gender": scans["sex"].iloc[0]}
        minutes = (scans["time"] - scans["onset"]).dt.total_seconds() / 60
        for k in range(len(scans)):
            time, volume = f"Onset to CT{k + 1} (min)", f"ICH volume CT{k + 1} (ml)"
            row |= {time: int(minutes.iloc[k]), volume: scans["ml"].iloc[k]}
            names |= {time: {"hours_from_onset"}, volume: {"HM_volume"}}
        rows.append(row)
    sheet = "" if form in {"csv", "tsv", "parquet"} else "Export"
    return _folder({f"wide.{form}": _book({sheet: _grid(pd.DataFrame(rows))}, form)}, names)


def linked_tables(form: str) -> Folder:
    """Return a table of patients and a table of scans, as two sheets of a workbook or as two files."""
    of_patient = {"patient": "Patient", "onset": "Onset", "age": "Age", "sex": "Sex", "htn": "HTN"}
    of_scan = {"patient": "Patient", "time": "CT time", "ml": "Volume (mL)"}
    patients = _frame(of_patient, form).drop_duplicates("Patient")
    grids = {"Patients": _grid(patients), "Scans": _grid(_frame(of_scan, form))}
    names = _names(of_patient) | _names(of_scan)
    if form in {"csv", "tsv", "parquet"}:
        return _folder({f"{name.lower()}_list.{form}": _book({"": grid}, form) for name, grid in grids.items()}, names)
    return _folder({f"registry.{form}": _book(grids, form)}, names)


def tidy(form: str) -> Folder:
    """Return scans.csv or scans.parquet as prepare.py writes it."""
    with tempfile.TemporaryDirectory() as root:
        published().write(Path(root))
        scans = load_cohort(DataConfig("workbook", root)).scans
    columns = [name for name in scans if not name.startswith(("Hemo_", "ED_NCCT", "ED_original"))]
    table = scans[columns]
    if form == "csv":
        table = table.assign(scan_time=table["scan_time"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    folder = _folder({f"scans.{form}": _book({"": _grid(table)}, form)}, {name: {name} for name in columns})
    folder.patients = dict(zip(scans["scan_serial"], scans["patient_id"], strict=True))
    folder.patients |= {name: name for name in scans["patient_id"]}
    return folder


COHORTS: dict[str, Callable[[], Folder]] = {"published": published}
for _form in ("csv", "tsv", "xlsx", "ods", "parquet"):
    for _make in (long_table, wide_table, linked_tables):
        COHORTS[f"{_make.__name__} {_form}"] = lambda make=_make, form=_form: make(form)
for _form in ("csv", "parquet"):
    COHORTS[f"tidy {_form}"] = lambda form=_form: tidy(form)


@cache
def get_cohort(name: str) -> Folder:
    """Return a cohort by name; copy it before a change."""
    return COHORTS[name]()
