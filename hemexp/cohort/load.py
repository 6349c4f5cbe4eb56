"""The cohort: a hospital's files in, one checked table of scans out, with everything worth knowing about them."""

import copy
import hashlib
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from hemexp.cohort import tidy, workbook
from hemexp.cohort.cells import Where
from hemexp.cohort.checks import check_scans
from hemexp.cohort.columns import TEXT_COLUMNS
from hemexp.cohort.findings import Findings
from hemexp.config import DataConfig, LabelConfig, SyntheticDataConfig
from hemexp.files.writing import to_csv


@dataclass
class Cohort:
    """A checked cohort.

    Attributes:
        scans: a row a scan, in table order; columns as in `hemexp.cohort.columns.SCAN_COLUMNS`.
        findings: what was noted while reading and checking.
        where: from (row, column) of `scans` to the cell it came from.
        best_auroc: the AUROC of the true risk, where the cohort is synthetic.
        is_simulated: whether its files say of themselves that they are simulated.
    """

    scans: pd.DataFrame
    findings: Findings
    where: Where
    best_auroc: float | None = None
    is_simulated: bool = False

    @cached_property
    def patients(self) -> pd.DataFrame:
        """A row a patient, in table order: the first scan."""
        return self.scans[self.scans["scan_index"] == 0].reset_index(drop=True)

    def best_auroc_under(self, label: LabelConfig) -> float | None:
        """Return the AUROC of the true risk where the cohort is synthetic and the label is the one it was made for."""
        if self.best_auroc is None:
            return None
        from hemexp.cohort.synthetic import RULE

        asked = (label.absolute_ml, label.relative, label.window_hours, label.clock)
        return self.best_auroc if asked == RULE else None

    @cached_property
    def data_hash(self) -> str:
        """16 hex digits of the scans' content: the same for the workbooks and the tables made of them."""
        return hashlib.sha256(to_csv(self.scans).encode()).hexdigest()[:16]


_last: list[tuple[object, Cohort]] = []  # a sweep's jobs read the same files one after another


def load_cohort(data: DataConfig, keep_workbooks: Path | None = None) -> Cohort:
    """Read and check the cohort that a resolved data config names; the last one is remembered while its files stay.

    Args:
        data: as `hemexp.config.resolve_data` returns it.
        keep_workbooks: where the workbooks of a synthetic cohort stay; by default they are read and thrown away.

    Raises:
        CohortError: the files have errors; it carries all findings.
    """
    state = (repr(data), _files(data))
    if keep_workbooks is None and _last and _last[0][0] == state:
        return _own(_last[0][1])
    cohort = _load(data, keep_workbooks)
    _ = cohort.data_hash  # worked out once for all copies
    _last[:] = [(state, _own(cohort))]
    return cohort


def _own(cohort: Cohort) -> Cohort:
    """Return a copy whose findings may grow."""
    own = copy.copy(cohort)
    own.findings = copy.deepcopy(cohort.findings)
    own.scans = cohort.scans.copy()
    return own


def _files(data: DataConfig) -> list[tuple[str, int, int]]:
    if isinstance(data, SyntheticDataConfig):
        return []
    stats = [(path.name, path.stat()) for path in sorted(Path(str(data.root)).iterdir())]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]


def _load(data: DataConfig, keep_workbooks: Path | None) -> Cohort:
    if isinstance(data, SyntheticDataConfig):
        from hemexp.cohort.synthetic import write_workbooks

        with tempfile.TemporaryDirectory() as folder:
            root = keep_workbooks or Path(folder)
            best_auroc = write_workbooks(data, root)
            return _read(root, "workbook", best_auroc)
    return _read(Path(str(data.root)), data.kind)


def _read(root: Path, kind: str, best_auroc: float | None = None) -> Cohort:
    findings = Findings()
    kinds = {"tidy": (tidy.read_tidy, tidy.is_simulated), "workbook": (workbook.read_workbooks, workbook.is_simulated)}
    read, is_simulated = kinds[kind]
    scans, where = read(root, findings)
    scans = scans.astype(dict.fromkeys(TEXT_COLUMNS, "str"))
    check_scans(scans, where, findings)
    return Cohort(scans, findings, where, best_auroc, is_simulated(root))
