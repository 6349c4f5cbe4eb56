"""Check the volumes without radiomics: the unit of each column and scan, and a patient's volumes against each other."""

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.findings import RecordFindings
from hemexp.types import Array

_FEWEST = 10  # patients or scans; below it, a unit is doubtful but not wrong
_FEWEST_STEPS = 5  # volumes with the one before: enough to see a factor of 1000
_FEWEST_RANKED = 15  # volumes with the one before: enough to compare ranks
_FEWEST_SURE = 30  # enough for an error
_LEAST_MEDIAN = 500.0  # 10^-3 mL: a smaller median of first hematomas is in mL
_LEAST_FIRST = 200.0  # 10^-3 mL: a smaller hematoma is hardly seen on a first scan; the smallest published one has 1300
_MANY_SMALL = 0.2  # a larger share of such first scans is a part of the table in another unit
_THOUSAND = (300.0, 3000.0)  # a ratio of volumes that shows a factor of 1000
_USUAL_STEP = (0.1, 5.0)  # the median of volume / volume before: 0.4 to 1.4 in the published scans
_LATE_STEP = 0.02  # the same after days, when little may be left
_JUMPS = {"HM_volume": 6.0}  # times the volume before: 2 of 350 published scans exceed it; edema grows more
_JUMP = 10.0
_LARGE = 5000.0  # 10^-3 mL: a smaller volume may grow more
_LARGEST = 300_000.0  # 10^-3 mL: at most 243,000 in the published scans
_ANY_JUMP = 200.0  # of any volume
_SUDDEN_HOURS = 72.0  # a smaller share is left after days, never within so few hours
_LEAST_RANK = 0.3  # correlation of a patient's volumes: 0.8 to 0.9 in the published scans, 0 a row off
_UNIT = "rule: volumes are in 10^-3 mL"
_ADVICE = "if the cells hold mL, multiply them by 1000, or state the unit in the mapping.yaml of your own table"


def check_volumes(
    scans: pd.DataFrame, firsts: pd.DataFrame, patient: Array, findings: RecordFindings, is_published: bool
) -> None:
    """Check the unit of every column of volumes, and the volumes of a patient against each other.

    Args:
        scans: a row a scan, the scans of a patient in order.
        firsts: the first scans.
        patient: (n,) number of the patient of each scan.
        findings: receives the findings.
        is_published: whether the tables are the published ones; another cohort may be one after surgery.
    """
    for column in c.list_known(scans):
        if column.kind != "volume":
            continue
        before = scans[column.name].groupby(patient).shift()
        if _check_unit(scans, firsts, column.name, findings):
            continue
        if column.name in c.VOLUMES:
            _check_sizes(scans[column.name].mask(_has_shape(scans, column.name)), firsts, findings)
        wrong = scans["scan_index"].isin(_check_steps(scans, before, column.name, findings))
        alone = scans[column.name].mask(wrong | _has_shape(scans, column.name))
        if column.name == "HM_volume":
            alone = alone.drop(_check_first_volumes(alone[firsts.index], findings)).reindex(scans.index)
        if column.name not in c.VOLUMES or _check_ranks(scans, before, column.name, findings, is_published):
            _check_jumps(alone, scans["hours_from_first_scan"], patient, findings)


def _check_unit(scans: pd.DataFrame, firsts: pd.DataFrame, name: str, findings: RecordFindings) -> bool:
    """Check the unit of a whole column; return whether it is wrong."""
    row, hematoma = int(firsts.index[0]), scans.get("HM_volume", pd.Series(dtype=float))
    separator = "; if a point separates thousands, as in 9.400, remove it"
    if name == "HM_volume":
        median = firsts[name].median()
        is_small, is_error = 0 < median < _LEAST_MEDIAN, len(firsts) >= _FEWEST
        what = f"the median HM_volume of the first scans is {median:g}, which is {median / 1000:g} mL"
    else:
        present = scans[name][scans[name] > 0]
        median, largest = present.median(), float(present.quantile(0.95))
        is_small = largest < _LEAST_MEDIAN
        enough = name in c.VOLUMES and len(present) >= _FEWEST  # a little blood in a ventricle is usual
        is_error = enough and bool(hematoma.median() > _LEAST_MEDIAN)
        what = f"19 of 20 values of {name} are below {largest:g}, which is {largest / 1000:g} mL"
    if is_small:
        message = f"{what}; {_UNIT}; {_ADVICE}{separator}"
        (findings.error if is_error else findings.warn)("volume_unit", row, name, message, f"{median:g}")
    return bool(is_small)


def _check_sizes(volumes: pd.Series, firsts: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of first hematomas of 0, and of volumes that a head hardly holds."""
    name = str(volumes.name)

    def message(row: int) -> str:
        rule = "rule: above 0; clear the cell if it was not measured" if volumes[row] == 0 else f"rarely above {most}"
        return f"{name} is {volumes[row] / 1000:g} mL; {rule}; used unchanged: check the cell"

    most = f"{_LARGEST / 1000:g} mL"
    if name == "HM_volume":
        zero = firsts.index[volumes[firsts.index] == 0]
        findings.each("warning", "volume_zero", zero, name, message, volumes.get)
    findings.each("warning", "volume_large", volumes.index[volumes > _LARGEST], name, message, volumes.get)


def _has_shape(scans: pd.DataFrame, name: str) -> pd.Series:
    """Return the scans whose volume the radiomics confirm: they have a VoxelVolume, or nothing to measure."""
    tissue = {"HM_volume": "Hemo", "ED_volume": "ED"}.get(name, "")
    names = [each for each in c.RADIOMICS.get(tissue, []) if each in scans]
    if not names:
        return pd.Series(False, index=scans.index)
    voxels = scans.get(f"{tissue}_original_shape_VoxelVolume", pd.Series(np.nan, index=scans.index))
    return voxels.notna() | scans[names].isna().all(axis=1)


def _check_first_volumes(volumes: pd.Series, findings: RecordFindings) -> pd.Index:
    """Check for single first scans, or a part of them, in another unit; return them."""
    small = volumes.index[(volumes > 0) & (volumes < _LEAST_FIRST)]
    is_error = len(small) >= _FEWEST and len(small) > _MANY_SMALL * volumes.notna().sum()

    def message(row: int) -> str:
        volume = volumes[row]
        return (
            f"HM_volume of the first scan is {volume / 1000:g} mL ({volume:g} in 10^-3 mL); rule: rarely below "
            f"{_LEAST_FIRST / 1000:g} mL; see whether the cell has the unit of its column (published files: 10^-3 mL)"
        )

    findings.each("error" if is_error else "warning", "volume_unit", small, "HM_volume", message, volumes.get)
    return small


def _check_steps(scans: pd.DataFrame, before: pd.Series, name: str, findings: RecordFindings) -> list[int]:
    """Check each number of later scans for another unit than the scans before; return the numbers that have one."""
    values, numbers, hours = scans[name], scans["scan_index"], scans["hours_from_first_scan"]
    step = (values / before).where((values > 0) & (before > 0))
    steps = step.groupby(numbers).agg(["median", "count"])
    low, high = _USUAL_STEP
    is_late = hours.groupby(numbers).median().reindex(steps.index) > _SUDDEN_HOURS
    outside = (steps["median"] > high) | (steps["median"] < is_late.map({True: _LATE_STEP, False: low}))
    outside &= steps["count"] >= _FEWEST_STEPS
    found = dict(zip(steps.index[outside].tolist(), steps["median"][outside].tolist(), strict=True))
    for number, median in found.items():
        factor = max(median, 1 / median)
        is_error = _THOUSAND[0] <= factor <= _THOUSAND[1] and not (is_late[number] and median < 1)
        message = (
            f"{name} of the scans with number {number + 1} is {median:.3g} times the one before in the median; {_UNIT} "
            f"in all scans; {_ADVICE}"
        )
        row = int(np.flatnonzero((numbers == number) & step.notna())[0])
        (findings.error if is_error else findings.warn)("volume_unit", row, name, message, f"{median:.3g}")
    return list(found)


def _check_jumps(values: pd.Series, hours: pd.Series, patient: Array, findings: RecordFindings) -> None:
    """Warn of single scans that differ from the scan before by a factor that is rare in patients."""
    name = str(values.name)
    before, gap = values.groupby(patient).shift(), hours - hours.groupby(patient).shift()
    larger, smaller = np.maximum(values, before), np.minimum(values, before)
    jump = np.where(larger > _LARGE, _JUMPS.get(name, _JUMP), _ANY_JUMP)
    found = (larger > jump * smaller) & (((values > before) & (smaller > 0)) | (gap <= _SUDDEN_HOURS))
    found &= (smaller > 0) | (larger > _LARGE)

    def message(row: int) -> str:
        return (
            f"{name} is {values[row] / 1000:g} mL, and {before[row] / 1000:g} mL in the scan before; rule: rarely so "
            "different; used unchanged: check the decimal point and the unit of both cells"
        )

    findings.each("warning", "volume_jump", np.flatnonzero(found), name, message, values.get)


def _check_ranks(
    scans: pd.DataFrame, before: pd.Series, name: str, findings: RecordFindings, is_published: bool
) -> bool:
    """Return whether the volumes of the second scans belong to the patients of the first scans; report if not."""
    second = scans["scan_index"] == 1
    pairs = pd.DataFrame({"values": scans[name], "before": before})[second].dropna()
    hours = scans.loc[second, "hours_from_first_scan"].median()
    if len(pairs) < _FEWEST_RANKED or pairs.nunique().min() < len(pairs) // 3:
        return True
    rank = float(pairs.rank().corr().to_numpy()[0, 1])
    if rank >= _LEAST_RANK:
        return True
    message = (
        f"{name} of the second scans does not belong to the same patients as that of the first scans: the rank "
        f"correlation is {rank:.2f}, usually above 0.7; rule: large hematomas are large in the next scan, too; the "
        "column was probably pasted one row off or sorted alone; compare it with its source"
    )
    is_error = is_published and hours <= _SUDDEN_HOURS and len(pairs) >= _FEWEST_SURE
    first = int(pairs.index[0])
    (findings.error if is_error else findings.warn)("volumes_disagree", first, name, message, f"{rank:.2f}")
    return False
