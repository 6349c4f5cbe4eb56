"""Read, check, merge and label a cohort; no training."""

import logging
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from hemexp.cohort import columns as c
from hemexp.cohort.findings import CohortError
from hemexp.cohort.labels import check_follow_up, label_patients
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import PrepareConfig
from hemexp.data.imputation import fill_from_previous
from hemexp.errors import UserError
from hemexp.files.writing import write_csv

log = logging.getLogger(__name__)


def prepare(cfg: PrepareConfig, directory: Path | str) -> Cohort:
    """Write ``scans.csv``, ``patients.csv``, ``labels.csv`` and ``quality.csv`` of a cohort.

    A synthetic cohort also gets its four ``workbooks/``; ``imputation=previous_three`` adds the paper's
    ``completed.csv``.

    Raises:
        UserError: the directory holds another kind of cohort.
        CohortError: the files have errors; only ``quality.csv`` is written.
    """
    directory = Path(directory)
    if cfg.data.kind != "synthetic" and (directory / "workbooks").exists():
        raise UserError(f"output_dir={directory}: holds the workbooks of a synthetic cohort; choose a new directory")
    for name in ("scans.csv", "patients.csv", "labels.csv", "completed.csv", "quality.csv"):
        (directory / name).unlink(missing_ok=True)  # of an earlier call: old and new tables must not be mixed
    try:
        cohort = load_cohort(cfg.data, keep_workbooks=directory / "workbooks")
    except CohortError as error:
        write_csv(error.findings.frame(), directory / "quality.csv")
        raise CohortError(f"{error}\nall findings: {directory / 'quality.csv'}", error.findings) from error
    labels = label_patients(cohort.scans, cfg.label)
    check_follow_up(labels, cohort.scans, cfg.label, cohort.locate, cohort.findings)
    for name, table in (("scans", cohort.scans), ("patients", cohort.patients)):
        mark = pd.Series(1, table.index, name=c.SIMULATED)  # later readers must know that the patients are simulated
        write_csv(pd.concat([table, mark], axis=1) if cohort.is_simulated else table, directory / f"{name}.csv")
    write_csv(labels, directory / "labels.csv")
    if cfg.imputation == "previous_three":
        write_csv(_completed(cohort.scans), directory / "completed.csv")
    write_csv(cohort.findings.frame(), directory / "quality.csv")
    _print_summary(cohort, labels, cfg, directory)
    return cohort


def _completed(scans: pd.DataFrame) -> pd.DataFrame:
    """Fill every gap of the inputs with the mean of the three observed values before it in the table (paper, 3.1)."""
    inputs = [*c.CLINICAL, *c.IMAGING]
    filled = pd.DataFrame(fill_from_previous(scans[inputs].to_numpy(dtype=float)), columns=inputs, index=scans.index)
    log.info("completed.csv: %d gaps filled", int(scans[inputs].isna().sum().sum() - filled.isna().sum().sum()))
    return scans.drop(columns=inputs).join(filled)[c.SCAN_COLUMNS]


def _print_summary(cohort: Cohort, labels: pd.DataFrame, cfg: PrepareConfig, directory: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    events, known = int((labels["expansion"] == 1).sum()), int(labels["expansion"].notna().sum())
    source = cfg.data.root or "a synthetic cohort"
    console.print(f"{source}: {len(cohort.scans)} scans of {len(labels)} patients", markup=False)
    console.print(
        f"expansion, {cfg.label.describe()}: {events} yes, {known - events} no, {len(labels) - known} unknown"
    )
    if (best_auroc := cohort.best_auroc_under(cfg.label)) is not None:
        console.print(f"the best possible AUROC in this synthetic population is {best_auroc:.3f}")
    table = Table(title="data-quality warnings", title_justify="left", title_style="bold", header_style="dim")
    for name in ("problem", "cells", "first example"):
        table.add_column(name, justify="right" if name == "cells" else "left")
    for problem, count in cohort.findings.counts().items():
        first = next(finding for finding in cohort.findings.rows if finding.problem == problem)
        place = f"{first.patient_id or first.file} {first.column}{first.row or ''}".strip()
        table.add_row(problem, str(count), f"{place}: {first.message}")
    Console(highlight=False).print(table)
    console.print(f"files in {directory}; quality.csv lists each warning with its cell", markup=False)
