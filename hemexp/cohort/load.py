"""Load a cohort: read a hospital's files and return one checked table of scans with its findings."""

import copy
import hashlib
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.checks.same_patient import warn_same_patients
from hemexp.cohort.checks.scans import check_scans
from hemexp.cohort.columns import SCAN_KEYS, SIMULATED, TEXT_COLUMNS
from hemexp.cohort.findings import Cell, CellLocator, CohortError, Findings
from hemexp.cohort.headers import holds_text
from hemexp.cohort.mapping.mapping import Mapping, OpenQuestions, read_mapping
from hemexp.cohort.mapping.match import holds_dictionary, is_used, match_sheets
from hemexp.cohort.mapping.questions import apply_answers
from hemexp.cohort.pseudonyms import Pseudonyms
from hemexp.cohort.scans.assemble import NO_IDS, assemble
from hemexp.cohort.scans.published import check_columns, check_mapped, check_tidy, check_workbooks
from hemexp.cohort.tables.files import find_files, read_sheets
from hemexp.config import DataConfig, GrowthLabelConfig, LabelConfig, SyntheticDataConfig
from hemexp.errors import UserError


@dataclass
class Cohort:
    """A checked cohort.

    Attributes:
        scans: a row a scan, in table order; columns as in `hemexp.cohort.columns.SCAN_COLUMNS`.
        findings: errors and warnings of the reading and the checks.
        locate: from (row, column) of `scans` to the cell in the file.
        best_auroc: the AUROC of the true risk, where the cohort is synthetic.
        is_simulated: whether its files are marked as simulated.
        own_inputs: columns of `scans` that the mapping names as the user's own inputs.
        mapping: which column of which file holds what.
        empty: columns of the files without any value; `scans` does not have them.
        same_patients: pairs of positions in `patients` that are one person by their measurements.
    """

    scans: pd.DataFrame
    findings: Findings
    locate: CellLocator
    best_auroc: float | None = None
    is_simulated: bool = False
    own_inputs: tuple[str, ...] = ()
    mapping: Mapping | None = None
    empty: tuple[str, ...] = ()
    same_patients: tuple[tuple[int, int], ...] = ()

    @cached_property
    def patients(self) -> pd.DataFrame:
        """The first scan of each patient, in table order."""
        return self.scans[self.scans["scan_index"] == 0].reset_index(drop=True)

    @property
    def num_centers(self) -> int | None:
        """The number of centers; None without a column of the centers."""
        return int(self.patients["center"].nunique()) if "center" in self.patients else None

    def best_auroc_under(self, label: LabelConfig) -> float | None:
        """Return the AUROC of the true risk if the cohort is synthetic and was made for this label, else None."""
        if self.best_auroc is None or not isinstance(label, GrowthLabelConfig):
            return None
        from hemexp.cohort.population import LABEL_RULE

        rule = (label.absolute_ml, label.relative, label.window_hours, label.clock)
        return self.best_auroc if rule == LABEL_RULE else None

    @cached_property
    def data_hash(self) -> str:
        """16 hexadecimal digits of the scans; workbooks and the scans.csv made from them have the same hash."""
        digest = hashlib.sha256()
        for name, column in self.scans.items():
            digest.update(f"{name}\n".encode())
            if pd.api.types.is_float_dtype(column):
                digest.update((column.to_numpy() + 0.0).tobytes())  # -0 and 0 are the same
            elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "iM":
                digest.update(column.to_numpy().astype("int64").tobytes())
            else:
                digest.update("\x1f".join(column.fillna("").astype(str)).encode())
        return digest.hexdigest()[:16]


_last_loaded: list[tuple[object, Cohort]] = []  # at most one: the jobs of a sweep read the same files one after another


def load_cohort(data: DataConfig, keep_workbooks: Path | None = None, key_file: str | None = None) -> Cohort:
    """Read and check a cohort; the last one is kept in memory until its files change.

    Args:
        data: as `hemexp.config.resolve_data` returns it.
        keep_workbooks: folder for the workbooks of a synthetic cohort; by default they are deleted after reading.
        key_file: secret key that replaces ids and serials by pseudonyms, and shifts dates.

    Raises:
        CohortError: the files have errors; the exception holds all findings.
    """
    pseudonyms = Pseudonyms.from_file(key_file) if key_file else None
    state = (repr(data), _file_states(data), pseudonyms and pseudonyms.check_value)
    if keep_workbooks is None and _last_loaded and _last_loaded[0][0] == state:
        return _copy(_last_loaded[0][1])
    cohort = _load_pseudonymized(data, pseudonyms) if pseudonyms else _load(data, keep_workbooks)
    _ = cohort.data_hash  # computed once for all copies
    _last_loaded[:] = [(state, _copy(cohort))]
    return cohort


def last_in_memory() -> object:
    """Return the cohort that `load_cohort` keeps, for `keep_in_memory` in another process on this machine."""
    return _last_loaded[0]


def keep_in_memory(last: Any) -> None:
    """Keep a cohort as if it was read in this process; `load_cohort` returns it while its files do not change."""
    _last_loaded[:] = [last]


def _copy(cohort: Cohort) -> Cohort:
    """Return a copy that the caller may change: findings are added to it later."""
    result = copy.copy(cohort)
    result.findings = copy.deepcopy(cohort.findings)
    result.scans = cohort.scans.copy()
    return result


def _file_states(data: DataConfig) -> list[tuple[str, int, int]]:
    """Return name, modification time and size of every file that the cohort may be read from."""
    if isinstance(data, SyntheticDataConfig):
        return []
    root = Path(str(data.root))
    paths = [root] if root.is_file() else sorted(root.iterdir())
    stats = [(path.name, path.stat()) for path in [*paths, *([Path(data.mapping)] if data.mapping else [])]]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]


def _load_pseudonymized(data: DataConfig, pseudonyms: Pseudonyms) -> Cohort:
    """Return the cohort with pseudonyms; an error has them, too. Workbooks, which hold ids, are not kept."""
    try:
        cohort = _load(data, None, pseudonyms)
    except CohortError as error:
        pseudonyms.replace_findings(error.findings)
        replaced = CohortError(pseudonyms.scrub(str(error)), error.findings)
        replaced.mapping = pseudonyms.replace_mapping(error.mapping) if error.mapping else None
        raise replaced from None
    except OpenQuestions as error:
        raise OpenQuestions(pseudonyms.replace_mapping(error.mapping)) from None
    except UserError as error:
        raise UserError(pseudonyms.scrub(str(error))) from None
    except Exception as error:  # its text and its traceback may hold cells
        kind = type(error).__name__
        raise RuntimeError(f"{kind} while the files were read; privacy.pseudonymize hides its text") from None
    cohort.scans = pseudonyms.replace_scans(cohort.scans, cohort.locate, cohort.findings)
    pseudonyms.replace_findings(cohort.findings)
    cohort.own_inputs = tuple(name for name in cohort.own_inputs if name in cohort.scans)
    cohort.mapping = pseudonyms.replace_mapping(cohort.mapping) if cohort.mapping else None
    return cohort


def _load(data: DataConfig, keep_workbooks: Path | None, pseudonyms: Pseudonyms | None = None) -> Cohort:
    if not isinstance(data, SyntheticDataConfig):
        return _read(data, None, pseudonyms)
    from hemexp.cohort.synthetic import write_workbooks

    with tempfile.TemporaryDirectory() as folder:
        root = keep_workbooks or Path(folder)
        best_auroc = write_workbooks(data, root)
        return _read(DataConfig("workbook", str(root)), best_auroc, pseudonyms)


def _read(data: DataConfig, best_auroc: float | None, pseudonyms: Pseudonyms | None) -> Cohort:
    findings = Findings()
    found = read_sheets(find_files(Path(str(data.root)), data.kind, findings), holds_text, findings)
    sheets = [sheet.without_examples() for sheet in found]
    findings.stop_on_errors(deferred=frozenset({"formula_not_calculated"}))
    if data.kind == "workbook":
        check_workbooks(sheets, findings)
    given = read_mapping(Path(data.mapping)) if data.mapping else None
    if given:
        apply_answers(given)
    mapping = match_sheets(sheets, data.kind, given)
    if pseudonyms:
        pseudonyms.collect(sheets, mapping)
    if mapping.open_questions:
        raise OpenQuestions(mapping)
    by_place = {(sheet.file, sheet.name): sheet for sheet in sheets}
    tables = []
    for table in mapping.tables:
        sheet = by_place[table.file, table.sheet]
        if is_used(table):
            tables.append((sheet, table))
        else:
            message = "the table has no patient id or scan serial beside a column that hemexp knows; it is not read"
            findings.warn("unknown_sheet", sheet.place, message)
    matched = {(table.file, table.sheet) for table in mapping.tables}
    for sheet in sheets:
        if (sheet.file, sheet.name) not in matched and not holds_dictionary(sheet.header):
            why = "your mapping does not name the table" if given else "the table holds no known column of patients"
            findings.warn("unknown_sheet", sheet.place, f"{why}; it is not read")
    if data.kind == "workbook":
        check_columns(tables, findings)
    elif data.kind == "tidy":
        check_tidy(tables, findings)
    else:
        check_mapped(tables, findings)
    try:
        if not tables:
            files = ", ".join(dict.fromkeys(sheet.file for sheet in sheets))
            findings.fail("column_missing", Cell(files), NO_IDS)
        assembled = assemble(tables, data.kind, findings)
        types = {name: "str" for name in TEXT_COLUMNS if name in assembled.scans}
        scans = assembled.scans.astype(types).copy()
        check_scans(scans, assembled.locate, findings, data.kind != "mapped", data.kind == "workbook")
        empty = tuple(str(name) for name in scans if name not in SCAN_KEYS and scans[name].isna().all())
        scans = scans.drop(columns=list(empty))
        same_patients = tuple(warn_same_patients(scans, assembled.locate, findings))
    except CohortError as error:
        error.mapping = mapping  # so that prepare.py can show it
        raise
    is_simulated = any(sheet.simulated or SIMULATED in sheet.header for sheet in sheets)
    locate, own_inputs = assembled.locate, assembled.own_inputs
    return Cohort(scans, findings, locate, best_auroc, is_simulated, own_inputs, mapping, empty, same_patients)
