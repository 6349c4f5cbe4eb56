"""Compare a damaged cohort with the undamaged one, and say what the user learns of the damage."""

import re
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from damage.cohorts import get_cohort
from damage.folder import Change, Folder

from hemexp.cohort.columns import known_columns
from hemexp.cohort.findings import CohortError, Finding, column_letter
from hemexp.cohort.labels import check_follow_up, label_patients
from hemexp.cohort.load import load_cohort
from hemexp.cohort.mapping.mapping import OpenQuestions
from hemexp.config import DataConfig, TrainConfig
from hemexp.config.cohort import resolve_data
from hemexp.config.compose import load_config
from hemexp.errors import UserError

OUTCOMES = ("refused", "named", "harmless", "unknowable", "misplaced", "silent", "traceback")
_NOT_READ = {
    "unread_sheet",
    "unknown_sheet",
    "file_missing",
    "sheet_missing",
    "table_not_linked",
}  # the whole table is named
_TABLES = {"表1": "Table 1", "表2": "Table 2"}  # as messages call them
GOOD = frozenset({"refused", "named", "harmless", "unknowable"})


@dataclass
class Loaded:
    """The cohort of a folder: scans and labels with findings, or an error."""

    scans: pd.DataFrame | None = None
    labels: pd.DataFrame | None = None
    findings: tuple[Finding, ...] = ()
    error: str = ""
    traceback: str = ""


@dataclass
class Verdict:
    """An outcome of `OUTCOMES` with its explanation."""

    outcome: str
    detail: str = ""


@cache
def _label() -> object:
    return load_config(TrainConfig, []).label


def read(folder: Folder) -> Loaded:
    """Write a folder and read it as prepare.py and train.py do."""
    with tempfile.TemporaryDirectory() as parent, warnings.catch_warnings():
        warnings.simplefilter("error")
        root = Path(parent) / "cohort"
        folder.write(root)
        found: tuple[Finding, ...] = ()
        try:
            data = resolve_data(DataConfig("auto", str(root)))
            cohort = load_cohort(data)
            found = tuple(cohort.findings.rows)
            labels = label_patients(cohort.scans, _label(), cohort.mapping)
            check_follow_up(labels, cohort.scans, _label(), cohort.locate, cohort.findings, cohort.mapping)
        except CohortError as error:
            return Loaded(error=str(error), findings=tuple(error.findings.rows))
        except OpenQuestions as error:
            return Loaded(error=f"{error}\n{error.mapping.to_yaml()}")
        except UserError as error:
            return Loaded(error=str(error), findings=found)
        except KeyboardInterrupt:
            raise
        except BaseException:  # a panic of the Rust reader is not an Exception
            return Loaded(traceback=traceback.format_exc())
        return Loaded(cohort.scans, labels, tuple(cohort.findings.rows))


@cache
def read_undamaged(name: str) -> Loaded:
    """Return the undamaged cohort of this name."""
    loaded = read(get_cohort(name).copy())
    assert loaded.scans is not None, loaded.error or loaded.traceback
    return loaded


def judge(name: str, folder: Folder, changes: list[Change]) -> Verdict:
    """Return whether the changes of a cohort are refused, named, harmless or silent."""
    clean, damaged = read_undamaged(name), read(folder)
    if damaged.traceback:
        return Verdict("traceback", damaged.traceback)
    if damaged.error:
        errors = [finding for finding in damaged.findings if finding.severity == "error"]
        if any(names_change(finding, change, strictly=False) for finding in errors for change in changes):
            return Verdict("refused", damaged.error)
        if not errors:
            new = find_new(clean.findings, damaged.findings)
            if any(_says(damaged.error, each) or any(names_change(f, each, False) for f in new) for each in changes):
                return Verdict("refused", damaged.error)
        is_lost = bool(changes) and all(change.unknowable for change in changes)  # what is not there has no place
        return Verdict("refused" if is_lost else "misplaced", damaged.error)
    difference = compare(clean, damaged, {new: old for change in changes for new, old in change.renamed.items()})
    if not difference:
        return Verdict("harmless")
    new = find_new(clean.findings, damaged.findings)
    unnamed = [change for change in changes if not any(names_change(finding, change) for finding in new)]
    if not unnamed:
        return Verdict("named", difference)
    reasons = {change.unknowable for change in unnamed}
    lost = {change.unknowable for change in changes if change.is_lost_file} - {
        ""
    }  # nothing repeats the values any more
    if all(reasons) or lost:
        reasons = {reason for reason in reasons | lost if reason}
        return Verdict("unknowable", "; ".join(sorted(reasons)))
    messages = "\n".join(f"  {finding.problem}: {finding.message}" for finding in new) or "  (no new finding)"
    return Verdict("silent", f"{difference}\n{messages}")


def compare(clean: Loaded, damaged: Loaded, renamed: dict[str, str]) -> str:
    """Return the differences of scans and labels in words; empty where there are none.

    A further column that hemexp does not know is not an input, so it is not a difference.
    """
    before, after = _by_scan(clean, {}), _by_scan(damaged, renamed)
    after = after.drop(columns=[name for name in after if name not in before and name not in known_columns()])
    if columns := set(before).symmetric_difference(after):
        return f"columns: {sorted(columns)[:6]}"
    if scans := before.index.symmetric_difference(after.index).tolist():
        return f"{len(scans)} scans: {scans[:4]}"
    after = after.loc[before.index]
    for column in before:
        differs = ~_same(before[column], after[column])
        if differs.any():
            first = differs.idxmax()
            values = f"{before.loc[first, column]!r} became {after.loc[first, column]!r}"
            return f"{column}: {differs.sum()} of {len(before)} scans differ, such as {first}: {values}"
    return ""


def _by_scan(loaded: Loaded, renamed: dict[str, str]) -> pd.DataFrame:
    assert loaded.scans is not None
    assert loaded.labels is not None
    ids = loaded.scans["patient_id"]
    scans = loaded.scans.assign(label=ids.map(loaded.labels.set_index("patient_id")["expansion"]))
    for new, old in renamed.items():  # a scan without a serial is called by its patient
        is_made = (ids == new) & scans["scan_serial"].str.startswith(f"{new}-")
        serials = old + scans["scan_serial"].str.removeprefix(new)
        scans["scan_serial"] = scans["scan_serial"].mask(is_made, serials)
    return scans.assign(patient_id=ids.replace(renamed)).set_index(["patient_id", "scan_index"])


def _same(a: pd.Series, b: pd.Series) -> pd.Series:
    both = a.isna() & b.isna()
    if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
        x, y = a.to_numpy(dtype=float), b.to_numpy(dtype=float)
        return both | pd.Series(np.isclose(x, y, rtol=1e-6, atol=1e-4), index=a.index)
    return both | (a.astype(str) == b.astype(str))


def find_new(clean: tuple[Finding, ...], damaged: tuple[Finding, ...]) -> list[Finding]:
    """Return the findings that the undamaged cohort does not have; that a row has moved does not make one new."""
    known = Counter(map(_key, clean))
    new = []
    for finding in damaged:
        key = _key(finding)
        if known[key]:
            known[key] -= 1
        else:
            new.append(finding)
    return new


def _key(finding: Finding) -> tuple[object, ...]:
    text = re.sub(r"\b[A-Z]{1,3}\d+\b|\d+", "#", finding.message)
    return finding.problem, finding.file, finding.sheet, finding.patient_id, text, finding.count


def names_change(finding: Finding, change: Change, strictly: bool = True) -> bool:
    """Return whether a finding names what was changed, by its place or in its text.

    Args:
        finding: a new finding.
        change: the change.
        strictly: whether the row or column must be named; else the file or sheet is enough.
    """
    text = f"{finding.file}: {finding.message} {finding.value}"
    in_file = fnmatch(change.file, finding.file) or change.file in text
    in_file = in_file or _has_word(text, {_TABLES.get(change.file[:2], "")})
    in_table = in_file and (not change.sheet or finding.sheet in {"", change.sheet} or change.sheet in text)
    in_table = in_table or (change.sheet in {"ED", "Hemo"} and _has_word(text, {change.sheet}))
    letters = {column_letter(j) for j in change.columns}
    has_column = in_table and (
        finding.column in letters or bool(letters & set(re.findall(r"\b([A-Z]{1,3})\d+\b", text)))
    )
    has_column = has_column or _has_word(text, change.column_words)
    numbers = {str(i + 1) for i in change.rows}
    shown = set(re.findall(r"\b(?:[A-Z]{1,3}|rows? )(\d+)\b", text)) | {str(finding.row)}
    has_row = (in_table and (bool(numbers & shown) or finding.count > 1)) or (
        finding.patient_id in change.row_words or _has_word(text, change.row_words)
    )
    if not strictly:
        return in_file or has_column or has_row
    if in_table and finding.problem in _NOT_READ:
        return True
    if change.columns or change.rows:
        return (has_column or not change.columns) and (has_row or not change.rows)
    return in_table


def _says(text: str, change: Change) -> bool:
    return change.file in text or _has_word(text, change.column_words | change.row_words)


def _has_word(text: str, words: set[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words if word)
