"""Check that columns which say the same thing twice agree: volumes with radiomics, radiomics with each other.

A column that was pasted one row off, sorted alone or exchanged with another one holds legal values in the wrong rows.
Such a column breaks one of the relations that hold in every scan.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from hemexp.cohort import columns as c
from hemexp.cohort.checks.relations import PUBLISHED_RATIO, RELATIONS, TISSUES, VOLUME, Relation, full_name, short_name
from hemexp.cohort.findings import Cell, RecordFindings
from hemexp.types import Array

_FEWEST = 10  # scans with both sides; below it, ranks say little
_FEWEST_FOR_RANKS = 30  # enough where no single scan breaks a relation
_MOST_RANKED = 5000  # scans: more do not make a rank correlation clearer, only slower
_MOST = 0.5  # a larger share of scans that break a relation is another definition of a column
_FEW_BROKEN = 0.05  # a smaller share of scans that break a relation are single scans
_PUBLISHED_MEDIAN = (1.5, 4.0)  # of this ratio; 2.0 for hematomas and 2.7 for edema
_POSSIBLE_MEDIAN = (0.3, 12.0)  # both are volumes of one tissue in mm3
_USUAL_MEDIAN = (0.7, 4.0)
_SAME_SCALE = 1.5  # 1.17 in the published scans with one number, against all scans
_TOLERANCE = 0.05  # relative, for rounded tables
_ROUNDING = 0.02  # absolute, for the same
_SAME = 1e-9  # relative: values that differ by less are equal
_CLEARLY = 0.2  # a rank correlation that is better by this shows the cause


@dataclass(eq=False)
class _Tissue:
    """The columns of one tissue, and the relations between them.

    Attributes:
        name: ``Hemo`` or ``ED``.
        columns: (n,) values by the names that the relations use.
        relations: those whose columns are all there.
        sides: (n,) both sides of each; NaN where one of them is unknown.
    """

    name: str
    columns: dict[str, Array]
    relations: list[Relation]
    sides: list[tuple[Array, Array]]

    def full(self, short: str) -> str:
        """Return the name of a column in the table of scans."""
        return full_name(short, self.name)

    def describe(self, relation: Relation) -> str:
        """Return a relation in words."""
        return re.sub(rf"\b{VOLUME}\b", TISSUES[self.name], relation.text)


def check_agreement(scans: pd.DataFrame, findings: RecordFindings, is_published: bool) -> None:
    """Check every relation in each scan and in the ranks of the cohort.

    A single scan that breaks a relation is a warning. Ranks that do not agree are an error: the values of a column are
    then in the wrong rows.

    Args:
        scans: a row a scan, with the columns that the cohort has.
        findings: receives the findings.
        is_published: whether the columns have the published units.
    """
    for name, volume in TISSUES.items():
        names = {short_name(each): each for each in c.RADIOMICS[name] if each in scans}
        names |= {VOLUME: volume} if volume in scans else {}
        columns = {short: scans[each].to_numpy(dtype=float) for short, each in names.items()}
        relations = [each for each in RELATIONS if set(each.names) <= set(columns)]
        if not relations:
            continue
        tissue = _Tissue(name, columns, relations, [_evaluate(columns, each) for each in relations])
        if relations[0].left == VOLUME:
            _check_scale(scans["scan_index"].to_numpy(), tissue, findings, is_published)
        broken = np.array([_breaks(*each) for each in zip(relations, tissue.sides, strict=True)])
        wrong = _check_ranks(scans, tissue, broken, findings, is_published)
        _check_scans(tissue, broken & ~wrong[:, None], findings)


def _evaluate(columns: dict[str, Array], relation: Relation) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        left, right = relation.compute(columns)
    known = np.isfinite(left) & np.isfinite(right)
    return np.where(known, left, np.nan), np.where(known, right, np.nan)


def _breaks(relation: Relation, sides: tuple[Array, Array]) -> Array:
    """Return the scans that break a relation."""
    left, right = sides
    slack = _TOLERANCE * np.maximum(abs(left), abs(right)) + _ROUNDING
    if relation.sign == "=":
        return np.asarray(abs(left - right) > slack)
    if relation.sign == "<=":
        return np.asarray(left > right + slack)
    if relation.is_proportional:
        return _differ_from_median(left, right)
    if not relation.is_bounded:
        return np.zeros(len(left), dtype=bool)
    low, high = relation.bounds or _ratio_bounds(sides)
    with np.errstate(invalid="ignore"):
        return np.asarray((left + _ROUNDING < low * right) | (left - _ROUNDING > high * right))


def _differ_from_median(left: Array, right: Array) -> Array:
    """Return the scans in which left / right is another number than in nearly all scans, if there is such a number."""
    with np.errstate(all="ignore"):
        ratio = left / right
    known = np.isfinite(ratio)
    if known.sum() < _FEWEST:
        return np.zeros(len(left), dtype=bool)
    apart = abs(ratio / np.median(ratio[known]) - 1)
    return np.asarray(known & (apart > _TOLERANCE) & ((apart[known] <= _ROUNDING).mean() > 1 - 2 * _FEW_BROKEN))


def _median_ratio(sides: tuple[Array, Array]) -> float:
    """Return the median of left / right; NaN where there are few scans."""
    known = sides[1] > 0
    return float(np.median(sides[0][known] / sides[1][known])) if known.sum() >= _FEWEST else np.nan


def _ratio_bounds(sides: tuple[Array, Array]) -> tuple[float, float]:
    """Return the bounds of volume / VoxelVolume: the published ones, or in proportion to the cohort's own median."""
    low, high = PUBLISHED_RATIO
    median = _median_ratio(sides)
    if np.isnan(median):
        return low / 2, high
    scale = 1.0 if _PUBLISHED_MEDIAN[0] <= median <= _PUBLISHED_MEDIAN[1] else median / 2
    return low * scale, high * scale


def _check_scale(numbers: Array, tissue: _Tissue, findings: RecordFindings, is_published: bool) -> None:
    """Check that a volume and the VoxelVolume are in the same unit, and in the same ones in first and later scans."""
    median, volume = _median_ratio(tissue.sides[0]), tissue.full(VOLUME)
    for label, group in list(_groups(numbers))[1:]:
        own = _median_ratio((tissue.sides[0][0][group], tissue.sides[0][1][group]))
        if not np.isnan(own) and not 1 / _SAME_SCALE <= own / median <= _SAME_SCALE:
            message = (
                f"{volume} is {own:.3g} times {tissue.full('VoxelVolume')} in the median of {label}, but {median:.3g} "
                "times in all scans; rule: nearly the same; correct the unit of these volumes"
            )
            findings.warn("volume_unit", int(group.argmax()), volume, message, f"{own:.3g}")
    if np.isnan(median) or _USUAL_MEDIAN[0] <= median <= _USUAL_MEDIAN[1]:
        return
    message = (
        f"{volume} is {median:.3g} times {tissue.full('VoxelVolume')} in the median; rule: both are in mm3 (10^-3 mL), "
        f"so {_USUAL_MEDIAN[0]:g} to {_USUAL_MEDIAN[1]:g} times; correct the unit of one of them"
    )
    is_error = is_published and not _POSSIBLE_MEDIAN[0] <= median <= _POSSIBLE_MEDIAN[1]
    row = int(np.isfinite(tissue.sides[0][0]).argmax())
    (findings.error if is_error else findings.warn)("volume_unit", row, volume, message, f"{median:.3g}")


def _check_ranks(
    scans: pd.DataFrame, tissue: _Tissue, broken: Array, findings: RecordFindings, is_published: bool
) -> Array:
    """Report the columns whose values are in other rows than the rest; return the relations that they break."""
    places: dict[int, tuple[str, Array, float]] = {}
    groups = list(_groups(scans["scan_index"].to_numpy()))
    for number, relation in enumerate(tissue.relations):
        if relation.least is None:
            continue
        for label, group in groups:
            left, right = (side[group] for side in tissue.sides[number])
            rank, count = _correlate(left, right)
            share = broken[number][group].sum() / max(1, count)
            is_clear = count >= _FEWEST_FOR_RANKS and rank < relation.least * (0.5 if relation.is_bounded else 1)
            if is_clear or (count >= _FEWEST and rank < relation.least and share > _FEW_BROKEN):
                places[number] = (label, group, rank)
                break
    wrong = np.isin(np.arange(len(tissue.relations)), list(places))
    left_over = wrong.copy()
    while left_over.any():
        (culprit,) = _blame(tissue.relations, left_over[:, None], ~wrong[:, None])
        own = [number for number in np.flatnonzero(left_over).tolist() if culprit in tissue.relations[number].names]
        relation, (label, group, rank) = tissue.relations[own[0]], places[own[0]]
        name, rules = tissue.full(culprit), "; ".join(tissue.describe(tissue.relations[number]) for number in own)
        others = [each for number in own for each in tissue.relations[number].names if each != culprit]
        others_text = ", ".join(dict.fromkeys(map(tissue.full, others)))
        cause = _find_cause(scans, tissue, relation, culprit, group)
        here, there = (findings.locate(int(group.argmax()), each) for each in (name, tissue.full(others[0])))
        if (here.file, here.sheet) != (there.file, there.sheet):
            cause += f"; or the column of ids or serials was, here or in {Cell(there.file, there.sheet)}"
        message = (
            f"the values of {name} do not belong to the same scans as those of {others_text}: in {label}, a rank "
            f"correlation is {rank:.2f}; rule: at least {relation.least:g}, because {rules}; {cause}; compare the "
            "columns with their source and correct the wrong one"
        )
        rows = np.flatnonzero(group & broken[own].any(axis=0))
        first = int(rows[0]) if len(rows) else int(group.argmax())
        is_error = is_published or any(tissue.relations[number].is_bounded for number in own)  # by definition
        (findings.error if is_error else findings.warn)("columns_disagree", first, name, message, f"{rank:.2f}")
        left_over[own] = False
    return wrong


def _groups(numbers: Array) -> Iterator[tuple[str, Array]]:
    """Return all scans, then the scans with each number: side by side, each has its own columns."""
    yield "all scans", np.ones(len(numbers), dtype=bool)
    for number, count in zip(*np.unique(numbers, return_counts=True), strict=True):
        if count >= _FEWEST:
            yield f"the scans with number {number + 1}", numbers == number


def _correlate(left: Array, right: Array) -> tuple[float, int]:
    """Return the rank correlation, whatever its sign, and the number of scans."""
    known = np.isfinite(left) & np.isfinite(right)
    count = int(known.sum())
    left, right = (side[known][:: max(1, count // _MOST_RANKED)] for side in (left, right))
    if count < _FEWEST or any(np.ptp(side) <= _SAME * abs(side).max() for side in (left, right)):
        return 1.0, 0
    return abs(float(np.corrcoef(rankdata(left), rankdata(right))[0, 1])), count


def _blame(relations: list[Relation], fails: Array, holds: Array) -> list[str]:
    """Return for each case the column that most of its relations speak against.

    Shape:
        fails, holds: (R, N) of each relation and case.
    """
    names = list(dict.fromkeys(name for each in relations for name in each.names))
    member = np.array([[name in each.names for each in relations] for name in names], dtype=float)
    against, in_favor = member @ fails, member @ (holds & ~fails)
    share = against / np.maximum(against + in_favor, 1)
    return [names[number] for number in (against + share).argmax(axis=0)]


def _find_cause(scans: pd.DataFrame, tissue: _Tissue, relation: Relation, culprit: str, group: Array) -> str:
    """Return what makes the ranks agree: another row, or the same column of the other tissue."""
    rows = np.flatnonzero(group)
    in_order_of_serials = rows[np.argsort(scans["scan_serial"].to_numpy(dtype=str)[rows], kind="stable")]

    def rank_with(order: Array, values: Array) -> float:
        columns = {name: values if name == culprit else tissue.columns[name][order] for name in relation.names}
        return _correlate(*_evaluate(columns, relation))[0]

    values = tissue.columns[culprit]
    enough = rank_with(rows, values[rows]) + _CLEARLY
    if any(
        rank_with(each, np.roll(values[each], step)) > enough
        for each in (rows, in_order_of_serials)
        for step in (1, -1)
    ):
        return "they agree when the column is moved by one row, so it was probably pasted one row off"
    twin = full_name(culprit, "ED" if tissue.name == "Hemo" else "Hemo")
    if twin in scans and rank_with(rows, scans[twin].to_numpy(dtype=float)[rows]) > enough:
        return f"they agree when {twin} is taken instead, so the two columns are probably exchanged"
    return "the column was probably pasted one row off, sorted alone or exchanged with another one"


def _warn_definitions(tissue: _Tissue, broken: Array, counts: Array, findings: RecordFindings) -> Array:
    """Warn once of columns that break a relation in most scans, and return these relations."""
    often = (broken.sum(axis=1) > _MOST * counts) & (counts >= _FEWEST)
    left_over = often.copy()
    while left_over.any():
        (culprit,) = _blame(tissue.relations, left_over[:, None], ~often[:, None])
        own = [number for number in np.flatnonzero(left_over).tolist() if culprit in tissue.relations[number].names]
        rows = np.flatnonzero(broken[own].any(axis=0))
        rules = "; ".join(tissue.describe(tissue.relations[number]) for number in own)
        others = dict.fromkeys(each for number in own for each in tissue.relations[number].names if each != culprit)
        message = (
            f"{tissue.full(culprit)} does not fit {', '.join(map(tissue.full, others))} in {len(rows)} of "
            f"{counts[own].max()} scans; rule: {rules}; used unchanged: one of these columns has another unit or "
            "definition, such as pyradiomics' voxelArrayShift or an excess kurtosis, or the values of another column"
        )
        findings.once("warning", "values_disagree", rows, tissue.full(culprit), message)
        left_over[own] = False
    return np.asarray(often)


def _check_scans(tissue: _Tissue, broken: Array, findings: RecordFindings) -> None:
    """Warn of the single scans that break relations, each at the column that is most likely wrong."""
    known = np.array([np.isfinite(left) for left, _ in tissue.sides])
    broken = broken & ~_warn_definitions(tissue, broken, known.sum(axis=1), findings)[:, None]
    rows = np.flatnonzero(broken.any(axis=0))
    known = known[:, rows]
    culprits = np.array(_blame(tissue.relations, broken[:, rows], known)) if len(rows) else np.array([])
    for culprit in dict.fromkeys(culprits):
        name, values = tissue.full(culprit), tissue.columns[culprit]

        def message(row: int, name: str = name, culprit: str = culprit) -> str:
            rules = [tissue.relations[number] for number in np.flatnonzero(broken[:, row])]
            others = dict.fromkeys(each for rule in rules for each in rule.names if each != culprit)
            shown = ", ".join(f"{tissue.full(each)} {tissue.columns[each][row]:.4g}" for each in others)
            texts = "; ".join(map(tissue.describe, rules))
            return f"{name} is {tissue.columns[culprit][row]:.4g}, but {shown}; rule: {texts}; check the cell"

        problem = "volume_mismatch" if culprit in {VOLUME, "VoxelVolume"} else "values_disagree"
        findings.each("warning", problem, rows[culprits == culprit], name, message, values.__getitem__)
