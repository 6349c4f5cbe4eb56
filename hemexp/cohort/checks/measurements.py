"""Measured values of scans as evidence that two scans are the same: how precise each value is, and how rare.

Two scans of different patients agree in a value of d significant digits with a chance of about 10^-(d - 1), and in
round or coarse values more often. The evidence of an equal value is therefore the smaller of d - 1 and
-log10 of the share of pairs of patients who have the same value by chance.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.types import Array

TIME, ONSET, SINCE = "scan_time", "hours_from_onset", "hours_from_first_scan"
TIMES = (TIME, ONSET, SINCE)
_MOST_DIGITS = 12
_RAREST = 1e-4  # a chance that was not observed is at least this, or one pair of those that were compared
_DEPENDENT = 0.5  # explained share of the variance of the ranks
_SAMPLE = 3000  # patients, enough to count coincidences


@dataclass(frozen=True)
class Measurements:
    """The measured values of the scans of a cohort.

    Attributes:
        values: NaN where a value is missing. Values of the patient stand at its first scan only. Times are in minutes:
            of the scan, from onset to the first scan, and since the scan before.
        digits: significant digits; 0 for zero, which is no evidence.
        tolerance: half a unit of the last digit, and a little more: two roundings may have followed each other.
        patient: number of the patient of each scan, in the order of first scans.
        index: position of each scan among the patient's scans.
        before: row of the patient's scan before; -1 for a first scan.
        change: since the scan before; NaN for a first scan.

    Shape:
        values, digits, tolerance, change: (R, K) for R scans and K columns. patient, index, before: (R,).
    """

    values: Array
    digits: Array
    tolerance: Array
    patient: Array
    index: Array
    before: Array
    change: Array


def list_measured(scans: pd.DataFrame) -> list[str]:
    """Return the columns that hold measurements: not codes or shares, which many patients have in common.

    Columns that hemexp does not know come last.
    """
    known = c.known_columns()
    ignored = {*c.RATIOS["HM"], *c.RATIOS["ED"]}
    volumes = [name for name, column in known.items() if column.kind == "volume"]
    others = [name for name, column in known.items() if column.kind == "number" and name not in ignored]
    others.sort(key=lambda name: known[name].role == "imaging")
    own = [str(name) for name in scans if name not in known and pd.api.types.is_float_dtype(scans[name])]
    return [name for name in [*volumes, *TIMES, *others, *own] if name in scans and scans[name].notna().any()]


def choose_independent(firsts: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Return the columns that add something to the ones before, with the digits of a value that these explain.

    Radiomics and columns that hemexp does not know may be computed from others, such as one of several sizes of the
    same hematoma. They are left out where the columns before explain half of the variance of their ranks.

    Args:
        firsts: the first scans of a cohort.
        names: of its columns, the ones to prefer first.
    """
    table = firsts.iloc[:: 1 + len(firsts) // _SAMPLE][list(names)].rank()
    ranks = (table - table.mean()).fillna(0.0).to_numpy()
    known, computed = c.known_columns(), {*c.RADIOMICS["Hemo"], *c.RADIOMICS["ED"]}
    chosen: list[int] = []
    explained: dict[str, float] = {}
    for position, name in enumerate(names):
        if name == SINCE:  # first scans have none
            explained[name] = 0.0
            continue
        target, others = ranks[:, position], ranks[:, chosen]
        total = float(target @ target)
        if total == 0:
            continue
        rest = target - others @ np.linalg.lstsq(others, target, rcond=None)[0] if chosen else target
        unexplained = max(float(rest @ rest) / total, 0.01)
        if unexplained >= 1 - _DEPENDENT or (name in known and name not in computed):
            chosen.append(position)
            explained[name] = float(-np.log10(unexplained) / 2)
    return explained


def measure(scans: pd.DataFrame, names: Collection[str]) -> Measurements:
    """Return the values of some columns with their precision; the scans of a patient are in order."""
    patient = pd.factorize(scans["patient_id"])[0]
    index = scans.groupby(patient).cumcount().to_numpy()
    before = pd.Series(np.arange(len(scans))).groupby(patient).shift(fill_value=-1).to_numpy()
    known = c.known_columns()
    columns = []
    for name in names:
        if name == TIME:
            times = scans[name].to_numpy().astype("datetime64[s]")
            columns.append(np.where(np.isnat(times), np.nan, times.astype("int64") / 60))
            continue
        numbers = scans[name].to_numpy(dtype=float, copy=True)
        if name in TIMES:
            numbers = np.rint(60 * numbers)
        if name == SINCE:
            numbers = np.where(before >= 0, numbers - numbers[before], np.nan)
        elif name == ONSET or name not in known or known[name].of == "patient":
            numbers[index > 0] = np.nan
        columns.append(numbers)
    values = np.column_stack(columns) if columns else np.empty((len(scans), 0))
    digits, tolerance = _count_digits(values)
    for position, name in enumerate(names):
        if name == TIME:
            digits[:, position] = _time_digits(values[:, position])
        if name in TIMES:
            tolerance[:, position] = 1.0
    change = np.where(before[:, None] >= 0, np.round(values - values[before], 6), np.nan)
    for position, name in enumerate(names):
        if name == SINCE:  # it is a change
            change[:, position] = values[:, position]
    return Measurements(values, digits, tolerance, patient, index, before, change)


def _count_digits(values: Array) -> tuple[Array, Array]:
    """Return the significant digits of each value without zeros at the end, and its tolerance."""
    size = np.abs(values)
    digits = np.zeros(values.shape, dtype=np.int8)
    tolerance = np.zeros(values.shape)
    open_ = np.isfinite(size) & (size > 0)
    exponent = np.zeros(values.shape)
    exponent[open_] = np.floor(np.log10(size[open_]))
    for number in range(1, _MOST_DIGITS + 1):
        unit = 10.0 ** (exponent[open_] - number + 1)
        scaled = size[open_] / unit
        done = (np.abs(scaled - np.rint(scaled)) <= 1e-10 * scaled) | (number == _MOST_DIGITS)
        rows = tuple(axis[done] for axis in np.nonzero(open_))
        digits[rows], tolerance[rows] = number, 0.6 * unit[done]
        open_[rows] = False
    return digits, tolerance + 1e-9 * np.nan_to_num(size)


def _time_digits(minutes: Array) -> Array:
    """Return the precision of times: 0 for midnight, which stands for a date alone, up to 6 for a time with seconds."""
    rounds = [minutes % 1440 == 0, minutes % 60 == 0, minutes % 5 == 0, minutes % 1 == 0]
    return np.select([np.isnan(minutes), *rounds], [0, 0, 3, 4, 5], 6)


def weigh(measured: Measurements, explained: Mapping[str, float]) -> tuple[Array, Array]:
    """Return the evidence of equal values by their digits: in a first equal scan, and in a later one.

    A later scan resembles the one before, so that there the change since the scan before must be rare.

    Args:
        measured: values of a cohort, which tell how rare they are.
        explained: the columns, with the digits that do not count.

    Shape:
        Output: two of (K, D + 1), for 0 to D digits.
    """
    step = 1 + int(measured.patient.max(initial=0)) // _SAMPLE
    sampled = measured.patient % step == 0
    firsts, changes = measured.values[sampled & (measured.index == 0)], measured.change[sampled]
    num_columns, digits = firsts.shape[1], np.arange(_MOST_DIGITS + 1)
    later, first = np.zeros((num_columns, len(digits))), np.zeros((num_columns, len(digits)))
    limit = np.maximum(digits - 1 - np.array([*explained.values()])[:, None], 0)
    names = list(explained)
    tables = [changes if name == SINCE else firsts for name in names]
    exact = [1.0 if name == SINCE else _chance(firsts, column, _MOST_DIGITS) for column, name in enumerate(names)]
    for column in range(num_columns):
        rarest = min((other for other in range(num_columns) if other != column), key=exact.__getitem__, default=None)
        for number in digits[1:]:
            first[column, number] = -np.log10(_chance(tables[column], column, number, rarest)) if number < 8 else np.inf
        chance = _chance(tables[column], column, _MOST_DIGITS, rarest)
        first[column] = np.minimum(limit[column], np.minimum(first[column], -np.log10(chance)))
        later[column] = np.minimum(first[column], -np.log10(_chance(changes, column, _MOST_DIGITS, rarest)))
        if names[column] == TIME and SINCE in names:  # which has the same evidence
            later[column] = 0.0
    return first, later


def _chance(values: Array, column: int, digits: int, other: int | None = None) -> float:
    """Return the share of pairs of rows with the same value in a column, after rounding to significant digits.

    Args:
        values: (R, K).
        column: position.
        digits: to round to.
        other: a column that is independent of it; pairs that are equal there too may be the same patient, and do not
            count.
    """
    known = np.isfinite(values[:, column])
    codes = pd.factorize(_round(values[known, column], digits))[0]
    num_pairs = max(1.0, known.sum() * (known.sum() - 1) / 2)
    equal = _count_pairs(codes)
    if other is not None:
        there = np.isfinite(values[known, other])
        mates = pd.factorize(_round(values[known, other][there], digits))[0]
        equal -= _count_pairs(codes[there].astype("int64") * (len(mates) + 1) + mates)
    return float(max(equal / num_pairs, min(1 / num_pairs, _RAREST)))


def _round(values: Array, digits: int) -> Array:
    size = np.abs(values)
    unit = 10.0 ** (np.floor(np.log10(np.where(size > 0, size, 1.0))) - digits + 1)
    return np.rint(values / unit) * unit


def _count_pairs(codes: Array) -> float:
    counts = np.unique(codes, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())
