"""Reads, checks, merges and labels a cohort; no training."""

import logging
from pathlib import Path

import pandas as pd
from rich.console import Console

from hemexp.cohort import Cohort, load_cohort
from hemexp.cohort import columns as c
from hemexp.cohort.findings import CohortError
from hemexp.cohort.labels import label_patients, note_unseen
from hemexp.cohort.tidy import write_csv
from hemexp.config import PrepareConfig
from hemexp.imputation import fill_from_previous

log = logging.getLogger(__name__)


def prepare(cfg: PrepareConfig, directory: Path | str) -> Cohort:
    """Write ``scans.csv``, ``patients.csv``, ``labels.csv`` and ``quality.csv`` of a cohort.

    A synthetic cohort also leaves its four ``workbooks/``; `imputation` previous_three the paper's ``completed.csv``.

    Raises:
        CohortError: the files have errors; ``quality.csv`` is written and nothing else.
    """
    directory = Path(directory)
    for name in ("scans.csv", "patients.csv", "labels.csv", "completed.csv", "quality.csv"):
        (directory / name).unlink(missing_ok=True)  # of an earlier prepare: never beside new ones
    try:
        cohort = load_cohort(cfg.data, keep_workbooks=directory / "workbooks")
    except CohortError as error:
        write_csv(error.findings.frame(), directory / "quality.csv")
        raise CohortError(f"{error}\nall findings: {directory / 'quality.csv'}", error.findings) from error
    labels = label_patients(cohort.scans, cfg.label)
    note_unseen(labels, cohort.scans, cfg.label, cohort.where, cohort.findings)
    write_csv(cohort.scans, directory / "scans.csv")
    write_csv(cohort.patients, directory / "patients.csv")
    write_csv(labels, directory / "labels.csv")
    if cfg.imputation == "previous_three":
        write_csv(_completed(cohort.scans), directory / "completed.csv")
    write_csv(cohort.findings.frame(), directory / "quality.csv")
    _say(cohort, labels, cfg, directory)
    return cohort


def _completed(scans: pd.DataFrame) -> pd.DataFrame:
    """Fill every gap of the inputs with the mean of the three observed values before it in the table (paper, 3.1)."""
    inputs = [*c.CLINICAL, *c.IMAGING]
    filled = pd.DataFrame(fill_from_previous(scans[inputs].to_numpy(dtype=float)), columns=inputs, index=scans.index)
    log.info("completed.csv: %d gaps filled", int(scans[inputs].isna().sum().sum() - filled.isna().sum().sum()))
    return scans.drop(columns=inputs).join(filled)[c.SCAN_COLUMNS]


def _say(cohort: Cohort, labels: pd.DataFrame, cfg: PrepareConfig, directory: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    events, known = int((labels["expansion"] == 1).sum()), int(labels["expansion"].notna().sum())
    console.print(
        f"{len(cohort.scans)} scans of {len(labels)} patients; label {cfg.label.name}: {events} with expansion, "
        f"{known - events} without, {len(labels) - known} unknown"
    )
    if cohort.best_auroc is not None and cfg.label.name == "onset_48h":
        console.print(f"the best possible AUROC in this synthetic population is {cohort.best_auroc:.3f}")
    counts = cohort.findings.counts()
    console.print(f"{sum(counts.values())} warnings: {', '.join(f'{k} {v}' for k, v in counts.items()) or 'none'}")
    console.print(f"files in {directory}", markup=False)
