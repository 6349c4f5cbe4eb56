"""Compare columns that two tables hold: only one of them is used, so they must agree."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.findings import Findings
from hemexp.cohort.scans.records import Records
from hemexp.types import Array

_TOLERANCE = 0.01  # of a number: one table may hold rounded values
_TIME_TOLERANCE = pd.Timedelta(minutes=1)
_MOST_OF_A_COPY = 0.5  # a table that differs in more of its values is another measurement, not an older copy
_SKIPPED = {"patient_id", "scan_serial", "scan_index", "scan_count"}


def compare_columns(
    scans: pd.DataFrame,
    source: Mapping[str, tuple[list[Records], Array, Array]],
    records: Records,
    rows: Array,
    added: Collection[str],
    findings: Findings,
) -> None:
    """Report known columns of a linked table that another table holds, too, where their values differ.

    It is a warning that says which values are used. A table that adds no column and has mostly the same values is a
    copy of what another one holds: that is an error, because it may be the newer one.

    Args:
        scans: all scans so far.
        source: for each of their columns, the tables that it comes from.
        records: the linked table.
        rows: (n,) of each scan in the records; -1 where there is none.
        added: the columns that the table has added to the scans.
        findings: receives the findings.
    """
    known = c.known_columns()
    shared = [name for name in records.frame if name in known and name in source and name not in {*added, *_SKIPPED}]
    for name in shared:
        tables, part, _ = source[name]
        theirs = records.frame[name].reindex(rows).reset_index(drop=True)
        differs = np.flatnonzero(_differ(scans[name].reset_index(drop=True), theirs))
        used = tables[int(part[differs[0]])].sheet.place if len(differs) else records.sheet.place
        if used == records.sheet.place:
            continue
        both = int((scans[name].notna() & theirs.notna().to_numpy()).sum())
        what = f"{name} is also in {used}, and differs in {len(differs)} of {both} scans"
        cell = records.locate(int(rows[differs[0]]), name)
        patient = scans["patient_id"][differs[0]]
        if added or len(differs) > _MOST_OF_A_COPY * both:
            message = f"{what}; the values of {used} are used; check which are right"
            findings.warn("tables_disagree", cell, message, patient=patient, value=len(differs))
        else:
            message = f"{what}; rule: one table for the same columns; remove the older one"
            findings.error("tables_disagree", cell, message, patient=patient, value=len(differs))


def _differ(ours: pd.Series, theirs: pd.Series) -> Array:
    """Return where both columns have a value, and not the same."""
    filled = (ours.notna() & theirs.notna()).to_numpy()
    if pd.api.types.is_datetime64_dtype(ours) and pd.api.types.is_datetime64_dtype(theirs):
        unlike = ((ours - theirs).abs() > _TIME_TOLERANCE).to_numpy()
    elif pd.api.types.is_numeric_dtype(ours) and pd.api.types.is_numeric_dtype(theirs):
        unlike = ~np.isclose(ours.astype(float), theirs.astype(float), rtol=_TOLERANCE, atol=1e-9)
    else:
        unlike = (ours.astype(str) != theirs.astype(str)).to_numpy()
    return np.asarray(filled & unlike)
