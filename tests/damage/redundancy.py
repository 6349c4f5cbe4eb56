"""The columns whose values follow from other columns, so that damage to one of them is noticed."""

from collections.abc import Iterable

from damage.folder import Folder, Grid

from hemexp.cohort import columns as c

ONE_VALUE = "one legal value became another"
ALONE = "no other column repeats these values"
WHOLE = "every row of the patient or scan is gone or made up"
_IMAGING = {*c.LOCATION, *c.SHAPE, *c.FIRST_ORDER} - {
    "NCCT_original_firstorder_Skewness", "NCCT_original_firstorder_Kurtosis",
}  # fmt: skip
_EXACT = {  # each follows from others: Range = Maximum - Minimum
    *(f"original_shape_{name}" for name in (
        "Elongation", "Flatness", "LeastAxisLength", "MajorAxisLength", "MeshVolume", "MinorAxisLength", "Sphericity",
        "SurfaceArea", "SurfaceVolumeRatio", "VoxelVolume")),
    *(f"NCCT_original_firstorder_{name}" for name in (
        "Energy", "Maximum", "Mean", "Minimum", "Range", "RootMeanSquared", "Variance")),
}  # fmt: skip
_ENERGY, _ROOT = "NCCT_original_firstorder_Energy", "NCCT_original_firstorder_RootMeanSquared"
_ROUNDING = 0.1  # a smaller relative difference may be rounding
SMALL_SHARE = 0.02
_SEVERAL = 1.2  # rows a patient; a copied patient adds a row
_KEYS = ("流水号", "时间点", "重复次数")


def is_repeated(folder: Folder, grid: Grid, column: int) -> bool:
    """Return whether other columns or rows repeat the values of a column, so that moved values show."""
    header = str(grid.header[column])
    names = folder.names.get(header, {header})
    if folder.is_published:
        return column == 0 or header in _IMAGING or any(key in header for key in _KEYS)
    if _is_wide(grid):  # volumes of the same patient are alike, as far as there are enough of them
        return header.endswith(("CT1 (ml)", "CT2 (ml)"))
    if names & {"patient_id", "scan_time", "onset_time", "scan_serial", "scan_index", "hours_from_onset"}:
        return True
    if names & {"hours_from_first_scan", "onset_to_first_scan"}:
        return True
    is_of_patient = bool(names & {"age", "sex", "hypertension", "systolic", "diastolic"})
    return is_of_patient and _rows_a_patient(folder, grid) > _SEVERAL


def is_small(header: str, old: object, new: object) -> bool:
    """Return whether a change of one imaging value is too small to show, or its column has usual values only."""
    if header in c.SHAPE or header in c.FIRST_ORDER:
        if header not in _EXACT:
            return True
        numbers = isinstance(old, int | float) and isinstance(new, int | float)
        return numbers and abs(new - old) <= _ROUNDING * max(abs(new), abs(old))
    if header.endswith("_Ratio") and isinstance(old, int | float) and isinstance(new, int | float):
        is_free = header.startswith("ED")  # the sums of the edema's shares differ from 1 in the published scans, too
        return 0 <= new <= 1 and (is_free or abs(new - old) < SMALL_SHARE)
    return False


def list_tied(grid: Grid, columns: Iterable[int]) -> list[int]:
    """Return the columns of a part that other columns repeat: of all grey levels together, the energy ties one only."""
    headers = {j: str(grid.header[j]) for j in columns}
    grey = {name for name in _EXACT if name in c.FIRST_ORDER} - {_ENERGY}
    if grey <= set(headers.values()) and _ENERGY not in headers.values():
        return [j for j, name in headers.items() if name not in grey or name == _ROOT]
    return list(headers)


def has_partner(folder: Folder, grid: Grid, column: int) -> bool:
    """Return whether another column has values that depend on those of a column, so that a wrong header shows."""
    if folder.is_published or _is_wide(grid):
        return is_repeated(folder, grid, column)
    times = {"patient_id", "scan_time", "onset_time", "scan_serial", "scan_index", "hours_from_onset"}
    return bool(folder.names.get(str(grid.header[column]), set()) & (times | {"hours_from_first_scan"}))


def _is_wide(grid: Grid) -> bool:
    return any(str(header).startswith("Onset to CT2") for header in grid.header)


def _rows_a_patient(folder: Folder, grid: Grid) -> float:
    ids = [folder.patients.get(str(cell)) for row in grid.rows for cell in row]
    ids = [each for each in ids if each]
    return len(grid.records) / max(1, len(set(ids)))
