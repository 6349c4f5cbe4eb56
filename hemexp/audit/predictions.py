"""Read a table of somebody's predictions for the patients of a cohort, and check it."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.cohort.cell import YES_NO, Rule, cell_text, clean_cell, find_code
from hemexp.cohort.cells import ids, numbers
from hemexp.cohort.cells.convert import convert_cells, test_texts
from hemexp.cohort.find_column import find_column, list_columns
from hemexp.cohort.findings import Cell, CohortError, Findings, RecordFindings
from hemexp.cohort.headers import squeeze
from hemexp.cohort.load import Cohort
from hemexp.cohort.mapping.mapping import Mapping
from hemexp.cohort.pseudonyms import Pseudonyms
from hemexp.cohort.tables.files import read_sheets
from hemexp.cohort.tables.sheet import Sheet
from hemexp.errors import UserError
from hemexp.types import Array

log = logging.getLogger(__name__)

_PROBLEM = "predictions"  # of findings whose text holds no cell of the table
_SHOWN = 10  # errors in a message
_PERCENT = ("%", "％", "percent", "百分")
_HEADERS = {  # what a column holds → its headers, squeezed
    "probability": "p prob probs proba probability probabilities predictedprobability predprob probabilityofexpansion "
    "expansionprobability yprob yproba yscore risk risks predictedrisk riskofexpansion expansionrisk likelihood "
    "概率 预测概率 风险 预测风险 风险概率 扩张概率 血肿扩张概率 血肿扩张预测概率 血肿扩大概率",
    "class": "class predictedclass predclass classification predictedlabel predlabel 类别 预测类别 分类 预测分类 "
    "分类结果 预测标签",
    "either": "prediction predictions predicted pred ypred yhat output result score 预测 预测值 预测结果",
    "outcome": "label y ytrue expansion hematomaexpansion outcome truth 标签 是否扩张 血肿扩张 是否发生血肿扩张",
    "training": "intraining train training trained istrain istraining intrain usedintraining intrainingset 训练 训练集 "
    "是否训练 是否训练集 用于训练 是否用于训练 是否参与训练",
    "part": "part set split subset role partition dataset datasetpart 数据集 集合 划分 数据集划分 所属数据集",
}
_ROLES = {header: role for role, headers in _HEADERS.items() for header in headers.split()}
_TRAINING = "train training trained in inside seen development derivation 训练 训练集"
_OUTSIDE = (
    "test testing validation valid val outside out holdout hold-out heldout external unseen unused unlabelled 测试 "
    "测试集 验证 验证集 外部"
)
_COUNTERS = {"no", "nr", "序号"}  # they may count the rows
_PARTS = dict.fromkeys(_TRAINING.split(), 1.0) | dict.fromkeys(_OUTSIDE.split(), 0.0)
_PART_RULE = Rule("train or test; for 1 and 0 or yes and no, name the column in_training; correct the cell")
_TRAINING_RULE = Rule("1 or 0, yes or no, train or test; correct the cell")
_CLASS_RULE = Rule("0 or 1, yes or no; correct the cell")


@dataclass(frozen=True, eq=False)
class Predictions:
    """A published table. N is the number of its rows, of which each is about another patient.

    Attributes:
        patients: (N,) table indices in the cohort.
        probability: (N,) of expansion; None if the table has classes only.
        predicted: (N,) 1 or 0, the class; where the table has none, whether the probability is above 0.5.
        in_training: (N,) whether the patient was in training; None if the table does not say it.
    """

    patients: Array
    probability: Array | None
    predicted: Array
    in_training: Array | None


def read_predictions(path: Path, cohort: Cohort, key_file: str | None = None) -> Predictions:
    """Read a table with a patient, and a probability, a class or both, in each row.

    Args:
        path: text file, workbook or Parquet.
        cohort: with the patients.
        key_file: with the pseudonyms of the cohort; the table may hold these or the original ids.

    Raises:
        UserError: the table cannot be used; the message names the cells.
    """
    findings = Findings()
    try:
        sheets = read_sheets([path], lambda text: _find_role(text, cohort.mapping) == "patient", findings)
        sheet, places = _choose_sheet(sheets, path, cohort.mapping, key_file)
        unread = [name for i, name in enumerate(sheet.header) if name and i not in places.values()]
        if unread:
            shown = f"{len(unread)} columns" if key_file else list_columns(unread, _SHOWN)
            log.warning("warning: predictions=%s: not read: %s", path, shown)
        columns = {role: sheet.columns[i].rename(sheet.header[i]) for role, i in places.items()}
        positions = {str(column.name): places[role] for role, column in columns.items()}
        records = RecordFindings(
            pd.Series([""] * sheet.num_records), lambda row, name: sheet.cell(row, positions[name]), findings
        )
        patients = _find_patients(columns["patient"], records, cohort, key_file)
        probability, predicted, in_training = None, None, None
        if "probability" in columns:
            probability = _read_probability(columns["probability"], records)
            predicted = probability > 0.5
        if "class" in columns:
            predicted = _read_codes(columns["class"], records, YES_NO, _CLASS_RULE)
        if "training" in columns:
            in_training = _read_codes(columns["training"], records, YES_NO | _PARTS, _TRAINING_RULE) == 1
        elif "part" in columns:
            is_own = squeeze(sheet.header[places["part"]]) == "role"  # of hemexp: the model is chosen on the part val
            words = _PARTS | ({"val": 1.0} if is_own else {})
            in_training = _read_codes(columns["part"], records, words, _PART_RULE) == 1
        findings.stop_on_errors()
    except CohortError:
        raise UserError(f"predictions={path}: {_describe(findings, 'error', key_file)}") from None
    if any(finding.severity == "warning" for finding in findings.rows):
        log.warning("warning: predictions=%s: %s", path, _describe(findings, "warning", key_file))
    assert predicted is not None
    if probability is not None and "class" in columns and _contradicts(probability, predicted):
        log.warning(
            "warning: predictions=%s: some patients of class 0 have a higher probability than some of class 1: the "
            "accuracy is that of the classes, the AUROC that of the probabilities", path,
        )  # fmt: skip
    return Predictions(patients, probability, predicted.astype(float), in_training)


def _contradicts(probability: Array, predicted: Array) -> bool:
    """Return whether no threshold of the probability gives the classes."""
    no, yes = probability[predicted == 0], probability[predicted == 1]
    return bool(len(no) and len(yes) and no.max() > yes.min())


def _describe(findings: Findings, severity: str, key_file: str | None) -> str:
    """Return findings with their cells; with pseudonyms, a text that may hold a cell is left out."""
    rows = [finding for finding in findings.rows if finding.severity == severity]
    hidden = "privacy.pseudonymize hides the message, which may name a patient"
    lines = [
        f"{Cell(f.file, f.sheet, f.row, f.column)}: {hidden if key_file and f.problem != _PROBLEM else f.message}"
        for f in rows[:_SHOWN]
    ]
    more = [f"... and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    return "\n  ".join([f"{len(rows)} {severity}(s) in the table:", *lines, *more])


def _find_role(header: str, mapping: Mapping | None) -> str:
    """Return what the column of a header holds; empty if it is not used."""
    bare = squeeze(header.lower().replace("percent", "").replace("百分", ""))
    role = _ROLES.get(bare, "")
    return role or ("patient" if squeeze(header) and find_column(header, ["patient_id"], mapping) else "")


def _choose_sheet(
    sheets: list[Sheet], path: Path, mapping: Mapping | None, key_file: str | None
) -> tuple[Sheet, dict[str, int]]:
    """Return the worksheet with the predictions, and the position of each column in it.

    Raises:
        UserError: there is none, there are several, or two columns hold the same thing.
    """
    chosen = [(sheet, columns) for sheet in sheets if _is_complete(columns := _find_columns(sheet, mapping))]
    if len(chosen) != 1:
        what = "more than one worksheet has predictions" if chosen else "has no column of patients or of predictions"
        headers = "; ".join(list_columns(filter(None, sheet.header), _SHOWN) for sheet in sheets)
        headers = "hidden" if key_file else headers
        raise UserError(
            f"predictions={path}: {what}; columns: {headers}; rule: one table with patient_id, and probability (0 to 1)"
            " or class (0 or 1), or both; name the columns so"
        )
    ((sheet, columns),) = chosen
    for role, (first, *others) in columns.items():
        if others or (role == "part" and "training" in columns):
            names = " and ".join(sheet.header[i] for i in (first, *(others or columns["training"])))
            raise UserError(
                f"predictions={path}: {names} hold the same thing; rule: one column each for patient, probability, "
                "class and training; remove or rename the other columns"
            )
    return sheet, {role: first for role, (first, *_) in columns.items()}


def _is_complete(columns: dict[str, list[int]]) -> bool:
    return "patient" in columns and bool(columns.keys() & {"probability", "class"})


def _find_columns(sheet: Sheet, mapping: Mapping | None) -> dict[str, list[int]]:
    """Return the positions of the columns that hold a patient, a probability, a class, or who was in training."""
    columns: dict[str, list[int]] = {}
    for i, header in enumerate(sheet.header):
        role = _find_role(header, mapping)
        if role == "either":
            words = {clean_cell(cell_text(cell)) for cell in sheet.columns[i].dropna()}
            role = "class" if words <= YES_NO.keys() else "probability"
        if role:
            columns.setdefault(role, []).append(i)
    if "patient" not in columns and sheet.header and not sheet.header[0]:  # as pandas writes an index
        columns["patient"] = [0]
    if ids_ := columns.get("patient"):
        exact = [i for i in ids_ if sheet.header[i] == "patient_id"]
        columns["patient"] = exact or [i for i in ids_ if squeeze(sheet.header[i]) not in _COUNTERS] or ids_
    if not columns.keys() & {"training", "part"}:
        columns |= {"part": found} if (found := _find_parts(sheet, columns)) else {}
    outcome = columns.pop("outcome", None)  # beside predictions, it is what has happened
    if outcome and not columns.keys() & {"probability", "class"}:
        columns["class"] = outcome
    return columns


def _find_parts(sheet: Sheet, columns: dict[str, list[int]]) -> list[int]:
    """Return the columns under other headers whose cells are the words for both parts, such as train and test."""
    taken, found = {i for places in columns.values() for i in places}, []
    for i in range(len(sheet.header)):
        words = {clean_cell(cell_text(cell)) for cell in sheet.columns[i].dropna()} if i not in taken else set()
        if words <= _PARTS.keys() and len({_PARTS[word] for word in words}) == 2:
            found.append(i)
    return found


def _find_patients(cells: pd.Series, records: RecordFindings, cohort: Cohort, key_file: str | None) -> Array:
    """Return the table index of each patient."""
    names = ids(cells, records)
    known = pd.Index(cohort.patients["patient_id"].astype(str))
    if key_file:
        pseudonyms = Pseudonyms.from_file(key_file)
        names = names.map(lambda name: name if name in known else pseudonyms.patient(name))
    found = np.asarray(known.get_indexer(pd.Index(names)))
    if len(found) and (found < 0).all() and not records.findings.has_errors:
        where, rule = "none of its patients is in the cohort", "the ids in the files of the cohort"
        _refuse(cells, [0], f"{where}; rule: {rule}; correct the column or data.root", records)
        return found
    _refuse(cells, np.flatnonzero(names == ""), "no patient; rule: an id in every row; add it", records)
    unknown = np.flatnonzero((found < 0) & (names != "").to_numpy())
    _refuse(cells, unknown, "the cohort has no such patient; rule: an id of the cohort; correct or remove", records)
    again = np.flatnonzero((found >= 0) & pd.Series(found).duplicated().to_numpy())
    _refuse(cells, again, "the patient has a row above; rule: one row a patient; remove one of them", records)
    return found


def _read_probability(cells: pd.Series, records: RecordFindings) -> Array:
    """Return probabilities from 0 to 1; percent is read where the header or every cell says so."""
    name = str(cells.name)
    signed = test_texts(cells, lambda text: text.strip().endswith(("%", "％")))
    in_header = any(sign in name.lower() for sign in _PERCENT)
    values = _check_given(cells, numbers(cells, records, {"%": 1.0}), records)
    given = values.notna()
    if signed.any() and not in_header and not signed[given].all():
        without = np.flatnonzero(given & ~signed)
        _refuse(cells, without, "no % sign; rule: in every cell or in none, for 1 can be 1 % or 100 %; add it", records)
    if in_header and not signed.any() and given.any() and values.max() <= 1:
        message = f"no value of {name} is above 1; rule: percent is 0 to 100; give 0 to 1 without % in the header"
        _refuse(cells, [0], message, records)
    is_percent = in_header or bool(signed.any())
    values = values / 100 if is_percent else values
    wrong = np.flatnonzero(given & ~values.between(0, 1))
    advice = "correct it" if is_percent else f"correct it, or name the column '{name} %' if these are percent"
    rule = "0 to 100 %" if is_percent else "0 to 1"
    _refuse(cells, wrong, f"{name} is not a probability; rule: {rule}; {advice}", records)
    return values.to_numpy(dtype=float)


def _read_codes(cells: pd.Series, records: RecordFindings, codes: dict[str, float], rule: Rule) -> Array:
    values = convert_cells(cells, partial(find_code, codes=codes, rule=rule), _PROBLEM, records).astype("float64")
    return _check_given(cells, values, records).to_numpy()


def _check_given(cells: pd.Series, values: pd.Series, records: RecordFindings) -> pd.Series:
    missing = np.flatnonzero(values.isna())  # a cell with an error has its message already
    _refuse(cells, missing, f"{cells.name} is missing; rule: a value in every row; add it or remove the row", records)
    return values


def _refuse(cells: pd.Series, rows: Array | list[int], message: str, records: RecordFindings) -> None:
    """Add an error for some records."""
    records.each("error", _PROBLEM, rows, str(cells.name), lambda row: message, summary=message)
