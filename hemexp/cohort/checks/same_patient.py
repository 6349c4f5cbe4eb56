"""Find patients who are one person under two ids, within a cohort or in two cohorts, by their measurements.

Two scans are compared in columns that are independent of each other. Every equal value is evidence, as `measurements`
weighs it, and every different value is evidence against it. Two patients are one person
where the evidence of their equal scans exceeds log10 of the number of pairs of patients that were compared by 3: then
chance gives one such pair in a thousand cohorts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.checks.measurements import (
    ONSET,
    TIME,
    TIMES,
    Measurements,
    choose_independent,
    list_measured,
    measure,
    weigh,
)
from hemexp.cohort.find_column import MOST_NAMED, list_columns
from hemexp.cohort.findings import CellLocator, Findings
from hemexp.types import Array

_MARGIN = 3.0  # chance finds a pair in one of 10^3 cohorts
_AGAINST = 3.0  # one of 10^3 values of a scan is retyped with a mistake
_NUM_KEYS = 3  # of its rarest values, two must be equal for a scan to be compared at all
_MOST_NEAR = 2_000_000  # pairs of scans with nearly the same value in one column
_MOST_ALIKE = 30  # scans with the same two values: more say nothing
_CHUNK = 100_000  # pairs that are compared at once


_COARSE = (1440, 60, 30, 5, 1)  # minutes: an onset at a multiple of them was probably rounded to it
_Match = tuple[int, int, tuple[int, int], list[str], int, float]  # positions, rows, columns, scans and evidence


@dataclass(frozen=True)
class SamePatient:
    """Two patients whose measurements are those of one person.

    Attributes:
        first: id of the patient.
        second: id of the other patient, which may be of the other cohort.
        patients: positions of the two among the patients of their cohorts.
        rows: of the first equal scan of each.
        columns: independent columns with equal values in this scan.
        num_scans: equal scans; 0 where only the onset and other values of the patients are equal.
        evidence: log10 of how improbable so many equal values are in two people.
    """

    first: str
    second: str
    patients: tuple[int, int]
    rows: tuple[int, int]
    columns: list[str]
    num_scans: int
    evidence: float


def find_same_patients(scans: pd.DataFrame, others: pd.DataFrame | None = None) -> list[SamePatient]:
    """Return the pairs of patients who are one person, in the order of the table.

    Args:
        scans: a row a scan, as in `hemexp.cohort.load.Cohort`, labels 0 ... n-1.
        others: of another cohort, which also tells how rare values are; by default pairs within `scans` are found.
    """
    reference = scans if others is None else others
    there = set(list_measured(scans)) & set(list_measured(reference))
    firsts = reference[reference["scan_index"] == 0]
    explained = choose_independent(firsts, [name for name in list_measured(reference) if name in there])
    if not explained:
        return []
    ours = measure(scans, explained)
    theirs = ours if others is None else measure(reference, explained)
    comparison = _Comparison(explained, ours, theirs, others is None)
    ids = [pd.unique(table["patient_id"]) for table in (scans, reference)]
    matches = list(comparison.matches())
    if others is None and {TIME, ONSET} <= set(firsts):
        known = {match[:2] for match in matches}
        matches += [match for match in _same_onsets(firsts, comparison.needed) if match[:2] not in known]
    return [
        SamePatient(str(ids[0][a]), str(ids[1][b]), (a, b), rows, columns, num_scans, evidence)
        for a, b, rows, columns, num_scans, evidence in matches
    ]


def _same_onsets(firsts: pd.DataFrame, needed: float) -> Iterator[_Match]:
    """Yield the patients with the same minute of onset and the same own values: a later scan under a mistyped id.

    Args:
        firsts: the first scans.
        needed: the least evidence.
    """
    onset = (firsts[TIME] - pd.to_timedelta(firsts[ONSET], "h")).dt.round("min")
    minutes = onset.dropna()
    sizes = minutes.map(minutes.value_counts())
    minutes = minutes[(sizes > 1) & (sizes <= _MOST_ALIKE)]
    if minutes.empty:
        return
    names = [each.name for each in c.list_known(firsts) if each.of == "patient" and each.name != "patient_id"]
    own = {name: firsts[name] for name in names if firsts[name].nunique() > 1 and name != "onset_to_first_scan"}
    rarity = {name: -np.log10((values.value_counts(normalize=True) ** 2).sum()) for name, values in own.items()}
    span = (onset.max() - onset.min()).total_seconds() / 60
    position = dict(zip(firsts.index, range(len(firsts)), strict=True))
    for _, rows in minutes.groupby(minutes):
        minute = int(rows.dt.hour.iloc[0] * 60 + rows.dt.minute.iloc[0])
        when = np.log10(max(1.0, span / next(unit for unit in _COARSE if minute % unit == 0)))
        for i, j in combinations(rows.index, 2):
            equal = [name for name, values in own.items() if values[i] == values[j]]
            differ = sum(not pd.isna(values[i]) and not pd.isna(values[j]) for values in own.values()) - len(equal)
            evidence = float(when - _AGAINST * differ + sum(rarity[name] for name in equal))
            if evidence > needed:
                yield position[i], position[j], (int(i), int(j)), ["onset_time", *equal], 0, evidence


def agree_mostly(scans: pd.DataFrame, rows: Array, others: pd.DataFrame, other_rows: Array) -> Array:
    """Return which scans have more equal than different measurements, or none in common.

    Args:
        scans: of a cohort.
        rows: of scans in it.
        others: of another cohort.
        other_rows: the scan in it to compare each of `rows` with.
    """
    names = [name for name in list_measured(scans) if name in set(list_measured(others)) and name not in TIMES]
    ours, theirs = measure(scans, names), measure(others, names)
    apart = np.abs(ours.values[rows] - theirs.values[other_rows])
    known = np.isfinite(apart)
    equal = apart <= np.maximum(ours.tolerance[rows], theirs.tolerance[other_rows])
    says = known & ((ours.digits[rows] > 0) | (theirs.digits[other_rows] > 0))
    return np.asarray(((says & equal).sum(axis=1) > (says & ~equal).sum(axis=1)) | ~says.any(axis=1))


def warn_same_patients(scans: pd.DataFrame, locate: CellLocator, findings: Findings) -> list[tuple[int, int]]:
    """Warn at both cells of every two ids that are one person, and return the pairs of positions of patients."""
    pairs = find_same_patients(scans)
    for pair in pairs:
        scan_text = "one scan" if pair.num_scans == 1 else f"{pair.num_scans} scans" if pair.num_scans else "patients"
        rarity = f"10^{min(pair.evidence, 12):.0f}"
        message = (
            f"{pair.first} and {pair.second} are one person by their measurements: {scan_text} with equal values, such "
            f"as {list_columns(pair.columns, MOST_NAMED)}; two people have so many values in common in fewer than 1 of "
            f"{rarity} pairs; rule: one id a person; give both the same id, or remove one of them. Until then they "
            "count as two patients"
        )
        for row, name, other in zip(pair.rows, (pair.first, pair.second), (pair.second, pair.first), strict=True):
            findings.warn("same_patient", locate(row, "patient_id"), message, patient=name, value=other)
    return [pair.patients for pair in pairs]


class _Comparison:
    """The comparison of the scans of two cohorts, or of one with itself."""

    def __init__(self, explained: dict[str, float], ours: Measurements, theirs: Measurements, within: bool) -> None:
        self.names, self.ours, self.theirs, self.within = list(explained), ours, theirs, within
        self.first, self.later = weigh(theirs, explained)
        self.counts_against = np.array(
            [name in c.known_columns() and name not in {*TIMES, "age"} for name in explained]
        )
        num_ours, num_theirs = (int(each.patient.max(initial=-1)) + 1 for each in (ours, theirs))
        num_pairs = num_ours * (num_ours - 1) / 2 if within else num_ours * num_theirs
        self.needed = np.log10(max(1.0, num_pairs)) + _MARGIN

    def matches(self) -> Iterator[_Match]:
        """Yield the pairs of patients with enough evidence."""
        found = list(self._equal_scans())
        found += [pairs[:, ::-1] for pairs in (found if self.within else self._flipped()._equal_scans())]
        rows = np.unique(np.concatenate([np.empty((0, 2), dtype=np.int64), *found]), axis=0)
        if not len(rows):
            return
        a, b = self._add_earlier(rows).T
        first, later, agree = self._score(a, b)
        table = pd.DataFrame(
            {
                "a": self.ours.patient[a], "b": self.theirs.patient[b], "i": self.ours.index[a],
                "j": self.theirs.index[b], "first": first, "later": np.maximum(later, 0.0), "pair": np.arange(len(a)),
            }
        )  # fmt: skip
        if self.within:
            table = table[table["a"] < table["b"]]
        table = table.sort_values("first", ascending=False, kind="stable")  # the best mate of each scan
        table = table[~table.duplicated(["a", "b", "i"])]
        table = table[~table.duplicated(["a", "b", "j"])]
        table = table.sort_values(["a", "b", "i"], kind="stable")
        by_patients = table.groupby(["a", "b"], sort=False)
        table = table[table["j"] >= by_patients["j"].cummax()]  # in the same order
        by_patients = table.groupby(["a", "b"], sort=False)
        is_first = by_patients.cumcount() == 0
        table["evidence"] = table["first"].where(is_first, table["later"])
        total = by_patients["evidence"].sum().to_numpy()
        starts = table[is_first]
        num_ours, num_theirs = np.bincount(self.ours.patient), np.bincount(self.theirs.patient)
        num_ways = np.where(  # to lay one history beside the other
            (starts["i"] == 0) & (starts["j"] == 0), 1, num_ours[starts["a"]] * num_theirs[starts["b"]]
        )
        enough = total > self.needed + np.log10(num_ways)
        sizes = by_patients.size().to_numpy()
        for row, size, evidence in zip(starts[enough].itertuples(), sizes[enough], total[enough], strict=True):
            columns = [name for name, equal in zip(self.names, agree[row.pair], strict=True) if equal]
            yield int(row.a), int(row.b), (int(a[row.pair]), int(b[row.pair])), columns, int(size), float(evidence)

    def _add_earlier(self, rows: Array) -> Array:
        """Return pairs of scans together with the pairs of scans before them that are equal, too."""
        found = [rows]
        while len(found[-1]):
            earlier = np.column_stack([self.ours.before[found[-1][:, 0]], self.theirs.before[found[-1][:, 1]]])
            found.append(self._keep_alike(*earlier[(earlier >= 0).all(axis=1)].T))
        return np.unique(np.concatenate(found), axis=0)

    def _flipped(self) -> "_Comparison":
        other = object.__new__(_Comparison)
        other.__dict__ = self.__dict__ | {"ours": self.theirs, "theirs": self.ours}
        return other

    def _equal_scans(self) -> Iterator[Array]:
        """Yield pairs of scans, one of each cohort, that agree in two of their rarest values and more or less in all.

        Each scan is looked up by its own precision, so that a rounded scan finds the scan that it was rounded from.
        """
        mine, build = self._usable(self.ours), self._usable(self.theirs)
        weights = np.where(np.isfinite(self.ours.values), self._look_up(self.first, self.ours.digits), 0.0)
        order = np.argsort(-weights, axis=1, kind="stable")[:, :_NUM_KEYS]
        num_keys = np.minimum((weights > 0).sum(axis=1), order.shape[1])
        for position in range(order.shape[1]):
            mate = order[np.arange(len(order)), np.where(position + 1 < num_keys, position + 1, 0)]
            for column in range(len(self.names)):
                probes = np.flatnonzero(mine & (position < num_keys) & (order[:, position] == column))
                if len(probes):
                    yield from self._look_near(probes, build, column, mate)

    def _look_near(self, probes: Array, build: Array, column: int, mate: Array) -> Iterator[Array]:
        values = self.theirs.values[:, column]
        rows = np.flatnonzero(build & np.isfinite(values))
        rows = rows[np.argsort(values[rows], kind="stable")]
        value, reach = self.ours.values[probes, column], self.ours.tolerance[probes, column]
        low = np.searchsorted(values[rows], value - reach, "left")
        counts = np.searchsorted(values[rows], value + reach, "right") - low
        if counts.sum() > _MOST_NEAR:
            yield from self._look_equal(probes, rows, column, mate)
            return
        groups = np.cumsum(counts) // _CHUNK
        for start, stop in pairwise([*np.flatnonzero(np.diff(groups, prepend=-1)), len(probes)]):
            size = counts[start:stop]
            offsets = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
            a, b = np.repeat(probes[start:stop], size), rows[np.repeat(low[start:stop], size) + offsets]
            keep = self._agree(a, b, mate[a]) | ~np.isfinite(self.theirs.values[b, mate[a]])
            yield self._keep_alike(a[keep], b[keep])

    def _look_equal(self, probes: Array, rows: Array, column: int, mate: Array) -> Iterator[Array]:
        """Look only for scans with the same two values: in a large cohort, too many have nearly the same value."""
        for other in np.unique(mate[probes]):
            tables = []
            for measured, chosen in ((self.ours, probes[mate[probes] == other]), (self.theirs, rows)):
                table = pd.DataFrame(np.round(measured.values[chosen][:, [column, other]], 6), chosen).dropna()
                tables.append(table.rename_axis("row").reset_index().set_axis(["row", "one", "two"], axis=1))
            ours, theirs = tables
            frequent = theirs.groupby(["one", "two"])["row"].transform("size") > _MOST_ALIKE
            pairs = ours.merge(theirs[~frequent], on=["one", "two"])
            yield self._keep_alike(pairs["row_x"].to_numpy(), pairs["row_y"].to_numpy())

    def _keep_alike(self, a: Array, b: Array) -> Array:
        if self.within:
            others = self.ours.patient[a] != self.ours.patient[b]
            a, b = a[others], b[others]
        return np.concatenate(
            [np.empty((0, 2), dtype=np.int64)]
            + [
                np.column_stack(part)[self._score(*part)[0] > 0]
                for part in zip(*(np.array_split(rows, 1 + len(a) // _CHUNK) for rows in (a, b)), strict=True)
            ]
        )

    def _usable(self, measured: Measurements) -> Array:
        """Return which scans are of a patient with enough evidence in all scans together."""
        known = np.isfinite(measured.values)
        weights = np.where(known, self._look_up(self.first, measured.digits), 0.0).sum(axis=1)
        return np.asarray(np.bincount(measured.patient, weights)[measured.patient] > self.needed)

    def _look_up(self, evidence: Array, digits: Array) -> Array:
        return np.asarray(evidence[np.arange(len(self.names)), digits])

    def _agree(self, a: Array, b: Array, column: Array | slice) -> Array:
        apart = np.abs(self.ours.values[a, column] - self.theirs.values[b, column])
        return np.asarray(apart <= np.maximum(self.ours.tolerance[a, column], self.theirs.tolerance[b, column]))

    def _score(self, a: Array, b: Array) -> tuple[Array, Array, Array]:
        """Return the evidence of pairs of scans, as the first and as a later equal scan, and their equal values.

        Shape:
            a, b: (P,). Output: (P,), (P,), (P, K).
        """
        ours, theirs = self.ours.values[a], self.theirs.values[b]
        known = np.isfinite(ours) & np.isfinite(theirs)
        close = np.maximum(self.ours.tolerance[a], self.theirs.tolerance[b])
        agree = known & (np.abs(ours - theirs) <= close)
        against = _AGAINST * (known & ~agree & self.counts_against).sum(axis=1)
        digits = np.minimum(self.ours.digits[a], self.theirs.digits[b])
        first = np.where(agree, self._look_up(self.first, digits), 0.0).sum(axis=1)
        later = np.where(agree & (self.ours.change[a] != 0), self._look_up(self.later, digits), 0.0).sum(axis=1)
        return first - against, later - against, agree & (digits > 0)
