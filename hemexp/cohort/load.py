"""Load a cohort: read a hospital's files and return one checked table of scans with its findings."""

import copy
import hashlib
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from hemexp.cohort import tidy, workbook
from hemexp.cohort.checks import check_scans
from hemexp.cohort.columns import TEXT_COLUMNS
from hemexp.cohort.findings import CellLocator, Findings
from hemexp.config import DataConfig, LabelConfig, SyntheticDataConfig
from hemexp.files.writing import to_csv


@dataclass
class Cohort:
    """A checked cohort.

    Attributes:
        scans: a row a scan, in table order; columns as in `hemexp.cohort.columns.SCAN_COLUMNS`.
        findings: errors and warnings of the reading and the checks.
        locate: from (row, column) of `scans` to the cell in the file.
        best_auroc: the AUROC of the true risk, where the cohort is synthetic.
        is_simulated: whether its files are marked as simulated.
    """

    scans: pd.DataFrame
    findings: Findings
    locate: CellLocator
    best_auroc: float | None = None
    is_simulated: bool = False

    @cached_property
    def patients(self) -> pd.DataFrame:
        """The first scan of each patient, in table order."""
        return self.scans[self.scans["scan_index"] == 0].reset_index(drop=True)

    def best_auroc_under(self, label: LabelConfig) -> float | None:
        """Return the AUROC of the true risk if the cohort is synthetic and was made for this label, else None."""
        if self.best_auroc is None:
            return None
        from hemexp.cohort.population import LABEL_RULE

        rule = (label.absolute_ml, label.relative, label.window_hours, label.clock)
        return self.best_auroc if rule == LABEL_RULE else None

    @cached_property
    def data_hash(self) -> str:
        """16 hex digits of the scans' content; workbooks and the scans.csv made from them have the same hash."""
        return hashlib.sha256(to_csv(self.scans).encode()).hexdigest()[:16]


_last_loaded: list[tuple[object, Cohort]] = []  # at most one: the jobs of a sweep read the same files one after another


def load_cohort(data: DataConfig, keep_workbooks: Path | None = None) -> Cohort:
    """Read and check a cohort; the last one is kept in memory until its files change.

    Args:
        data: as `hemexp.config.resolve_data` returns it.
        keep_workbooks: folder for the workbooks of a synthetic cohort; by default they are deleted after reading.

    Raises:
        CohortError: the files have errors; the exception holds all findings.
    """
    state = (repr(data), _file_states(data))
    if keep_workbooks is None and _last_loaded and _last_loaded[0][0] == state:
        return _copy(_last_loaded[0][1])
    cohort = _load(data, keep_workbooks)
    _ = cohort.data_hash  # computed once for all copies
    _last_loaded[:] = [(state, _copy(cohort))]
    return cohort


def _copy(cohort: Cohort) -> Cohort:
    """Return a copy that the caller may change: findings are added to it later."""
    result = copy.copy(cohort)
    result.findings = copy.deepcopy(cohort.findings)
    result.scans = cohort.scans.copy()
    return result


def _file_states(data: DataConfig) -> list[tuple[str, int, int]]:
    """Return name, modification time and size of every file in the cohort's folder."""
    if isinstance(data, SyntheticDataConfig):
        return []
    stats = [(path.name, path.stat()) for path in sorted(Path(str(data.root)).iterdir())]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]


def _load(data: DataConfig, keep_workbooks: Path | None) -> Cohort:
    if not isinstance(data, SyntheticDataConfig):
        return _read(Path(str(data.root)), data.kind)
    from hemexp.cohort.synthetic import write_workbooks

    with tempfile.TemporaryDirectory() as folder:
        root = keep_workbooks or Path(folder)
        best_auroc = write_workbooks(data, root)
        return _read(root, "workbook", best_auroc)


def _read(root: Path, kind: str, best_auroc: float | None = None) -> Cohort:
    findings = Findings()
    kinds = {"tidy": (tidy.read_tidy, tidy.is_simulated), "workbook": (workbook.read_workbooks, workbook.is_simulated)}
    read, is_simulated = kinds[kind]
    scans, locate = read(root, findings)
    scans = scans.astype(dict.fromkeys(TEXT_COLUMNS, "str"))
    check_scans(scans, locate, findings)
    return Cohort(scans, findings, locate, best_auroc, is_simulated(root))
