"""Recognize the patients of a run in another file, by scan serials or by measurements."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.cohort.checks.measurements import TIME, list_measured
from hemexp.cohort.checks.same_patient import agree_mostly, find_same_patients
from hemexp.data.split import PARTS
from hemexp.errors import UserError
from hemexp.files.result import load_json

RECOGNITION = "recognition.csv"
ID_AND_SERIAL, SERIAL, MEASUREMENTS, ID = "id and serial", "serial", "measurements", "id"
ANCESTORS = "ancestors"  # folder of an updated run: recognition.csv of each run that it came from, nearest first
_TEXTS = ["patient_id", "role", "scan_serial"]


def build_own_scans(scans: pd.DataFrame, roles: Sequence[str]) -> pd.DataFrame:
    """Return recognition.csv: every scan of a run with the role of its patient and its measurements.

    Args:
        scans: of the run's cohort.
        roles: of its patients, in table order.
    """
    patients = scans.loc[scans["scan_index"] == 0, "patient_id"]
    role = scans["patient_id"].map(dict(zip(patients, roles, strict=True)))
    names = ["scan_serial", "scan_index", TIME, *(name for name in list_measured(scans) if name != TIME)]
    return pd.concat([scans["patient_id"], role.rename("role"), scans[names]], axis=1)


def digest_file(run: Path) -> str:
    """Return the SHA-256 of recognition.csv."""
    return hashlib.sha256((run / RECOGNITION).read_bytes()).hexdigest()


def read_own_scans(run: Path, digest: str | None = None, name: str = RECOGNITION) -> pd.DataFrame | None:
    """Return what `build_own_scans` gave when the run was trained; None where the run does not have the file.

    Args:
        run: directory of the run.
        digest: SHA-256 of the file when it was written; None in runs of earlier versions.
        name: of the file; an updated run also has those of the runs that it came from.

    Raises:
        UserError: the file is damaged, or is not the one of the run.
    """
    path = run / name
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        if digest not in {None, hashlib.sha256(content).hexdigest()}:
            raise UserError(f"{path}: was changed after hemexp wrote it; rule: the file of the run; restore it")
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
        table = table.assign(scan_time=pd.to_datetime(table[TIME].replace("", None), format="%Y-%m-%d %H:%M:%S"))
        names = [name for name in table if name not in {*_TEXTS, TIME}]
        table = table.assign(**{str(name): pd.to_numeric(table[name].replace("", None)) for name in names})
        firsts = table["scan_index"] == 0
        roles = table["role"].unique().tolist()
        serials = table["scan_serial"].tolist()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read: {reason}; rule: a file as hemexp wrote it") from None
    wrong = [role for role in roles if role not in PARTS]
    problem = ""
    if wrong:
        problem = f"role is {wrong[0]!r}, not one of {', '.join(PARTS)}"
    elif firsts.sum() != table["patient_id"].nunique():
        problem = "a patient has no first scan, or two"
    elif len(set(serials)) < len(serials):
        problem = "a scan serial is there twice"
    if problem:
        raise UserError(f"{path}: {problem}; rule: a file as hemexp wrote it")
    return table


def read_roles(run: Path) -> dict[str, str]:
    """Return the role of each patient id from splits.json, for runs without recognition.csv; empty without the file."""
    path = run / "splits.json"
    parts = load_json(path) if path.is_file() else {}
    if not all(part in PARTS and isinstance(names, list) for part, names in parts.items()):
        raise UserError(
            f"{path}: must hold lists of patients named {', '.join(PARTS)}; rule: a file as hemexp wrote it"
        )
    return {str(name): "train" if part == "val" else part for part, names in parts.items() for name in names}


def describe_equal_values(scans: pd.DataFrame, own: pd.DataFrame, roles: Sequence[str]) -> str:
    """Return why patients may be those of the run under other names, where a table has few measurements; else empty.

    Three equal values do not recognize one patient. But where most new patients have the first scans of patients of
    the run, and these values differ between the patients of the run, it is the same table.

    Args:
        scans: of a cohort.
        own: of the run, from `read_own_scans`.
        roles: of the patients in the run; empty for those who are new to it.
    """
    names = [name for name in list_measured(scans) if name in own and name not in {TIME, "hours_from_first_scan"}]
    ours, theirs = (
        table.loc[table["scan_index"] == 0, names].astype(float).round(6).fillna(-1.0) for table in (scans, own)
    )
    new = ours[[role == "" for role in roles]]
    known = set(map(tuple, theirs.to_numpy().tolist()))
    number = sum(tuple(row) in known for row in new.to_numpy().tolist())
    if len(known) < 0.9 * len(theirs) or number < max(5, 0.5 * len(new)):
        return ""
    return (
        f"{number} of {len(new)} new patients have the values of patients of the run in all columns of the "
        f"first scan ({', '.join(names)}): they may be the same patients under other names"
    )


def recognize(scans: pd.DataFrame, own: pd.DataFrame, by_measurements: bool = True) -> pd.DataFrame:
    """Return the role that each patient has in the run, how it was recognized, and its id in the run.

    A scan with the serial of a scan of the run is the same scan, unless most of its measurements differ: another
    hospital may count its scans in the same way. An id alone recognizes no one.

    Args:
        scans: of a cohort.
        own: of the run, from `read_own_scans`.
        by_measurements: whether enough equal measurements recognize a patient with other serials.

    Returns:
        A row a patient in table order, with the columns ``role``, ``recognized_by`` and ``run_patient``, empty for a
        patient who is new to the run.
    """
    ids = pd.unique(scans["patient_id"])
    found: list[tuple[int, str, int]] = []  # patient, reason, row of `own`
    rows = pd.Series(np.arange(len(own)), own["scan_serial"]).reindex(scans["scan_serial"]).to_numpy(dtype=float)
    ours = np.flatnonzero(np.isfinite(rows))
    if len(ours):
        theirs = rows[ours].astype(int)
        same = agree_mostly(scans, ours, own, theirs)
        position = pd.factorize(scans["patient_id"])[0]
        for row, other in zip(ours[same], theirs[same], strict=True):
            same_id = scans["patient_id"].iloc[row] == own["patient_id"].iloc[other]
            found.append((int(position[row]), ID_AND_SERIAL if same_id else SERIAL, int(other)))
    if by_measurements:
        found += [(pair.patients[0], MEASUREMENTS, pair.rows[1]) for pair in find_same_patients(scans, own)]
    table = pd.DataFrame({"role": "", "recognized_by": "", "run_patient": ""}, index=range(len(ids)))
    if found:
        matches = pd.DataFrame(found, columns=["patient", "recognized_by", "row"])
        matches["role"], matches["run_patient"] = (
            own[name].to_numpy()[matches["row"]] for name in ("role", "patient_id")
        )
        matches["rank"] = matches["role"].map(PARTS.index)  # of several, the training patient decides
        best = matches.sort_values("rank", kind="stable").drop_duplicates("patient").set_index("patient")
        table.loc[best.index, ["role", "recognized_by", "run_patient"]] = best[["role", "recognized_by", "run_patient"]]
    return table
