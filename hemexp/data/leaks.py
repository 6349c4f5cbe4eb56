"""Find inputs that hold the outcome or values of later scans, and outcomes that no later scan supports.

An input is compared with the outcome and with what the later scans say: volumes, their growth, number and times. The
comparison is by rank, so that units and rounding do not matter. Chance gives one false alarm in 10,000 cohorts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln
from scipy.stats import rankdata

from hemexp.cohort import columns as c
from hemexp.cohort.headers import fold
from hemexp.cohort.labels import get_outcome_column
from hemexp.cohort.mapping.mapping import Mapping
from hemexp.config import ColumnLabelConfig, LabelConfig
from hemexp.files.result import FOLLOW_UP_COUNTS, FOLLOW_UP_VALUES, NO_FOLLOW_UP, OUTCOME_INPUTS
from hemexp.types import Array

_SAME_RANKS = 0.98  # correlation of ranks; 0.6 is high for a value of the first scan
_SEPARATES = 0.95  # sensitivity + specificity - 1 of the best limit
_RARITY = 4.0  # log10 of how rarely chance gives such an agreement in one of all comparisons
_LEAST_OWN = 1e-3  # share of the variance that the first scan does not explain
_MOST_PATIENTS = 1000  # more are not needed, and take time
_EXPANSION = re.compile(r"expan|growth|grow|enlarg|扩大|扩张|增大|增长")


@dataclass(frozen=True)
class LeakyInput:
    """An input that is not known at the first scan.

    Attributes:
        leak: its name in `hemexp.files.result.LEAKS`.
        agrees_with: what the input agrees with, in words.
    """

    leak: str
    agrees_with: str


@dataclass(frozen=True)
class _Later:
    """A quantity of the later scans, (N,), and the value at the first scan that explains a part of it.

    With `own_inputs_only` it is compared with inputs of the user's own columns only, for time.
    """

    leak: str
    text: str
    values: Array
    given: Array | None = None
    own_inputs_only: bool = False


def find_leaky_inputs(
    scans: pd.DataFrame, labels: pd.DataFrame, names: Sequence[str], raw: Array
) -> dict[str, LeakyInput]:
    """Return the inputs that hold the outcome or values of later scans.

    Args:
        scans: a row a scan, as in `hemexp.cohort.load.Cohort`.
        labels: as `hemexp.cohort.labels.label_patients` returns it.
        names: of the inputs.
        raw: inputs of all patients in table order, NaN where a value is missing.

    Shape:
        raw: (N, F).
    """
    expansion = labels["expansion"].to_numpy(dtype=float)
    own = np.array([name.partition("=")[0] not in c.known_columns() for name in names], dtype=bool)
    quantities = list(_list_later(scans, labels, has_own_inputs=bool(own.any())))
    needed = _RARITY + np.log10(max(1, raw.shape[1]) * (len(quantities) + 2))
    found: dict[str, LeakyInput] = {}
    for later in quantities:
        rows = np.flatnonzero(np.isfinite(later.values))[:_MOST_PATIENTS]
        compared = np.flatnonzero(own) if later.own_inputs_only else np.arange(len(names))
        for number in compared[list(_agreeing(raw[np.ix_(rows, compared)], later, rows, needed))]:
            found.setdefault(names[number], LeakyInput(later.leak, later.text))
    for number, name in enumerate(names):
        is_missing = np.where(np.isnan(raw[:, number]), 1.0, 0.0)
        if name in found:
            continue
        if _separates(raw[:, number], expansion, needed):
            found[name] = LeakyInput(OUTCOME_INPUTS, "the outcome")
        elif _separates(is_missing, expansion, needed):
            found[name] = LeakyInput(OUTCOME_INPUTS, "the outcome: it is empty for one of the two outcomes only")
    return found


def find_label_leak(
    scans: pd.DataFrame, labels: pd.DataFrame, label: LabelConfig, mapping: Mapping | None = None
) -> str | None:
    """Return the leak of an outcome of the file that counts patients without a later scan as not expanded.

    If one of these patients has expansion, the outcome comes from scans that are not in the tables.
    """
    if not isinstance(label, ColumnLabelConfig):
        return None  # a definition of expansion gives these patients no label
    column = get_outcome_column(scans, label, mapping)
    if column != "expansion_in_file" and not _EXPANSION.search(fold(label.column)):
        return None
    followed = set(scans.loc[scans["scan_index"] > 0, "patient_id"])
    alone = labels.loc[~labels["patient_id"].isin(followed), "expansion"]
    return NO_FOLLOW_UP if followed and (alone == 0).any() and not (alone == 1).any() else None


def _list_later(scans: pd.DataFrame, labels: pd.DataFrame, has_own_inputs: bool) -> Iterator[_Later]:
    ids = labels["patient_id"].to_numpy()
    firsts = scans[scans["scan_index"] == 0].set_index("patient_id").reindex(ids)
    rows = scans[scans["scan_index"] > 0].groupby("patient_id", sort=False)
    if not len(rows):
        return
    yield _Later(FOLLOW_UP_COUNTS, "the number of scans", rows.size().reindex(ids, fill_value=0).to_numpy(dtype=float))
    onset = firsts["hours_from_onset"].to_numpy(dtype=float)  # a scan 24 hours after onset depends on it
    known_onset = onset if np.isfinite(onset).any() else None
    for which in ("first", "last"):
        for clock in ("hours_from_first_scan", "hours_from_onset"):
            hours = rows[clock].agg(which).reindex(ids).to_numpy(dtype=float)
            yield _Later(FOLLOW_UP_COUNTS, f"the time of the {which} later scan", hours, known_onset)
    yield _Later(
        FOLLOW_UP_COUNTS, "the time of expansion", labels["hours_to_expansion"].to_numpy(dtype=float), known_onset
    )
    known = [
        each for each in c.list_known(scans) if each.of == "scan" and pd.api.types.is_numeric_dtype(scans[each.name])
    ]
    for column in (each for each in known if each.kind == "volume" or each.role == "extra"):
        first = firsts[column.name].to_numpy(dtype=float)
        for which in ("first", "last", "max"):
            later = rows[column.name].agg(which).reindex(ids).to_numpy(dtype=float)
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(first > 0, later / first, np.nan)
            yield _Later(FOLLOW_UP_VALUES, f"the change of {column.name}", later - first, first)
            yield _Later(FOLLOW_UP_VALUES, f"the change of {column.name}", share, first)
            yield _Later(FOLLOW_UP_VALUES, f"{column.name} of a later scan", later, first)
            if column.name == "HM_volume":
                for values in (np.maximum(later - first, 0), np.abs(later - first)):
                    yield _Later(FOLLOW_UP_VALUES, "the growth", values, first)
        if column.name == "HM_volume":
            for name in ("growth_ml", "growth_percent"):
                growth = labels[name].to_numpy(dtype=float)
                yield _Later(FOLLOW_UP_VALUES, "the growth", growth, first)
                yield _Later(FOLLOW_UP_VALUES, "the growth", np.where(labels["expansion"] == 0, 0.0, growth), first)
            total = first + rows[column.name].sum().reindex(ids).to_numpy(dtype=float)
            for values in (total, total / (1 + rows.size().reindex(ids).to_numpy(dtype=float))):
                yield _Later(FOLLOW_UP_VALUES, "the volumes of all scans", values, first)
    for column in (each for each in known if each.role == "imaging") if has_own_inputs else ():
        first = firsts[column.name].to_numpy(dtype=float)
        for which in ("first", "last"):
            later = rows[column.name].agg(which).reindex(ids).to_numpy(dtype=float)
            yield _Later(FOLLOW_UP_VALUES, f"{column.name} of a later scan", later, first, own_inputs_only=True)


def _agreeing(inputs: Array, later: _Later, rows: Array, needed: float) -> Iterator[int]:
    """Yield the numbers of the inputs that have the ranks of a quantity of the later scans.

    Args:
        inputs: (R, F) of the patients in `rows`.
        later: the quantity.
        rows: table indices.
        needed: the least rarity.
    """
    given = None if later.given is None else later.given[rows]
    known = np.isfinite(inputs) if given is None else np.isfinite(inputs) & np.isfinite(given)[:, None]
    for pattern in np.unique(known, axis=1).T:  # of inputs with the same gaps
        numbers = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        target = later.values[rows][pattern]
        if _rarity(target) < needed:
            continue
        ranks = rankdata(np.column_stack([target, inputs[pattern][:, numbers]]), axis=0)
        ranks -= ranks.mean(axis=0)
        own = ranks
        if given is not None:
            base = rankdata(given[pattern])
            base -= base.mean()
            own = ranks - np.outer(base, base @ ranks) / max(float(base @ base), 1.0)
        size, total = (own**2).sum(axis=0), (ranks**2).sum(axis=0)
        has_own = size > _LEAST_OWN * np.maximum(total, 1.0)
        same = np.abs(own[:, 0] @ own) >= _SAME_RANKS * np.sqrt(size[0] * size)
        for position in np.flatnonzero(same & has_own & has_own[0])[1:]:
            if _rarity(inputs[pattern, numbers[position - 1]]) >= needed:
                yield int(numbers[position - 1])


def _separates(values: Array, expansion: Array, needed: float) -> bool:
    """Return whether a limit of one input tells (nearly) all patients with the outcome from the others."""
    known = np.isfinite(values) & np.isfinite(expansion)
    outcomes = expansion[known]
    if outcomes.sum() in {0, len(outcomes)}:
        return False
    order = np.argsort(values[known], kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[known][order]) > 0, False))
    below, is_event = np.arange(1, len(order) + 1), np.cumsum(outcomes[order])
    events = outcomes.sum()
    difference = is_event / events - (below - is_event) / (len(order) - events)
    return bool(len(ends) and np.abs(difference[ends]).max() >= _SEPARATES and _rarity(outcomes) >= needed)


def _rarity(values: Array) -> float:
    """Return log10 of the number of ways to give these values to the patients: chance agrees in one of them."""
    counts = np.unique(values, return_counts=True)[1]
    return float((gammaln(counts.sum() + 1) - gammaln(counts + 1).sum()) / np.log(10))
