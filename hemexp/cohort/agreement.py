"""Check that columns which say the same thing twice agree: volumes with radiomics, radiomics with each other.

A column that was pasted one row off, sorted alone or exchanged with another one holds legal values in the wrong rows.
Such a column breaks one of the relations that hold in every scan.
"""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.findings import RecordFindings
from hemexp.cohort.relations import RELATIONS, TISSUES, VOLUME, Relation, full_name, short_name
from hemexp.types import Array

_FEWEST = 10  # scans with both sides; below it, ranks say little
_FEWEST_WITHOUT_BOUNDS = 30  # the same where only the ranks can disagree
_MOST_RANKED = 5000  # scans: more do not make a rank correlation clearer, only slower
_FEW_BROKEN = 0.05  # a smaller share of scans that break a relation are single scans
_PUBLISHED_RATIO = (1.2, 12.0)  # HM_volume / VoxelVolume is 1.5 to 9.4 in every published scan
_PUBLISHED_MEDIAN = (1.5, 4.0)  # of this ratio; 2.0 for hematomas and 2.7 for edema
_POSSIBLE_MEDIAN = (0.3, 12.0)  # both are volumes of one tissue in mm3
_USUAL_MEDIAN = (0.7, 4.0)
_TOLERANCE = 0.05  # relative, for rounded tables
_ROUNDING = 0.02  # absolute, for the same
_CLEARLY = 0.2  # a rank correlation that is better by this shows the cause


def check_agreement(scans: pd.DataFrame, findings: RecordFindings, is_published: bool) -> None:
    """Check every relation in each scan and in the ranks of the cohort.

    A single scan that breaks a relation is a warning. Ranks that do not agree are an error: the values of a column are
    then in the wrong rows.

    Args:
        scans: a row a scan, with the columns that the cohort has.
        findings: receives the findings.
        is_published: whether the columns have the published units.
    """
    for tissue, volume in TISSUES.items():
        table = _rename(scans, tissue, volume)
        relations = [each for each in RELATIONS if set(each.names) <= set(table)]
        if not relations:
            continue
        sides = [_evaluate(table, each) for each in relations]
        if VOLUME in table and "VoxelVolume" in table:
            _check_scale(sides[0], volume, tissue, findings, is_published)
        broken = np.array([_breaks(*each) for each in zip(relations, sides, strict=True)])
        known = np.array([(left.notna() & right.notna()).to_numpy() for left, right in sides])
        wrong = _check_ranks(scans, table, relations, broken, tissue, findings)
        _check_scans(table, relations, broken & ~wrong[:, None], known, tissue, findings)


def _rename(scans: pd.DataFrame, tissue: str, volume: str) -> pd.DataFrame:
    """Return the columns of a tissue by the names that the relations use."""
    names = {name: short_name(name) for name in c.RADIOMICS[tissue] if name in scans}
    table = scans[list(names)].rename(columns=names)
    if volume in scans:
        table[VOLUME] = scans[volume]
    return table.astype("float64")


def _evaluate(table: pd.DataFrame, relation: Relation) -> tuple[pd.Series, pd.Series]:
    """Return both sides of a relation; missing where one of them is."""
    with np.errstate(all="ignore"):
        sides = [pd.Series(table.eval(side, engine="python"), table.index) for side in (relation.left, relation.right)]
    left, right = (side.where(np.isfinite(side)) for side in sides)
    return left.where(right.notna()), right.where(left.notna())


def _breaks(relation: Relation, sides: tuple[pd.Series, pd.Series]) -> Array:
    """Return the scans that break a relation."""
    left, right = sides
    slack = _TOLERANCE * np.maximum(left.abs(), right.abs()) + _ROUNDING
    if relation.sign == "=":
        return np.asarray((left - right).abs() > slack)
    if relation.sign == "<=":
        return np.asarray(left > right + slack)
    if relation.left == VOLUME:
        low, high = _ratio_bounds(left / right)
    elif relation.bounds is not None:
        low, high = relation.bounds
    else:
        return np.zeros(len(left), dtype=bool)
    return np.asarray((left + _ROUNDING < low * right) | (left - _ROUNDING > high * right))


def _ratio_bounds(ratio: pd.Series) -> tuple[float, float]:
    """Return the bounds of volume / VoxelVolume: the published ones, or in proportion to the cohort's own median."""
    low, high = _PUBLISHED_RATIO
    median = ratio.median() if ratio.notna().sum() >= _FEWEST else 1.0
    if _PUBLISHED_MEDIAN[0] <= median <= _PUBLISHED_MEDIAN[1]:
        return low, high
    if ratio.notna().sum() < _FEWEST:
        return low / 2, high
    return low * median / 2, high * median / 2


def _check_scale(
    sides: tuple[pd.Series, pd.Series], volume: str, tissue: str, findings: RecordFindings, is_published: bool
) -> None:
    """Check that a volume and the VoxelVolume are in the same unit."""
    ratio = (sides[0] / sides[1]).dropna()
    if len(ratio) < _FEWEST or _USUAL_MEDIAN[0] <= ratio.median() <= _USUAL_MEDIAN[1]:
        return
    voxels, median = full_name("VoxelVolume", tissue), float(ratio.median())
    message = (
        f"{volume} is {median:.3g} times {voxels} in the median; rule: both are in mm3 (10^-3 mL), so 0.7 to 4 times; "
        "correct the unit of one of them"
    )
    is_error = is_published and not _POSSIBLE_MEDIAN[0] <= median <= _POSSIBLE_MEDIAN[1]
    row = int(ratio.index[0])
    (findings.error if is_error else findings.warn)("volume_unit", row, volume, message, f"{median:.3g}")


def _check_ranks(
    scans: pd.DataFrame,
    table: pd.DataFrame,
    relations: list[Relation],
    broken: Array,
    tissue: str,
    findings: RecordFindings,
) -> Array:
    """Report the columns whose values are in other rows than the rest; return the relations that they break."""
    wrong, places, ranks = np.zeros(len(relations), dtype=bool), {}, {}
    for number, (relation, rows) in enumerate(zip(relations, broken, strict=True)):
        if relation.least is None:
            continue
        for label, group in _groups(scans):
            rank, count = _correlate(table[group], relation)
            has_bounds = relation.sign != "~" or relation.bounds is not None or relation.left == VOLUME
            enough = count >= (_FEWEST if has_bounds else _FEWEST_WITHOUT_BOUNDS)
            if enough and rank < relation.least and (not has_bounds or rows[group].sum() > _FEW_BROKEN * count):
                wrong[number], places[number], ranks[number] = True, (label, group), rank
                break
    left = wrong.copy()
    while left.any():
        culprit = _blame(relations, left[:, None], ~wrong[:, None])[0]
        own = [number for number in np.flatnonzero(left) if culprit in relations[number].names]
        label, group = places[own[0]]
        rules = "; ".join(_describe(relations[number], tissue) for number in own)
        cause = _find_cause(scans[group], table[group], relations[own[0]], culprit, tissue)
        name = full_name(culprit, tissue)
        message = (
            f"the values of {name} do not belong to these scans: in {label}, the rank correlation is "
            f"{ranks[own[0]]:.2f} where at least {relations[own[0]].least:g} is expected; rule: {rules}; "
            f"{cause}; compare the columns with their source and correct the one that is wrong"
        )
        rows = np.flatnonzero(group & broken[own].any(axis=0))
        first = int(rows[0]) if len(rows) else int(np.flatnonzero(group)[0])
        findings.error("columns_disagree", first, name, message, f"{ranks[own[0]]:.2f}")
        left[own] = False
    return wrong


def _groups(scans: pd.DataFrame) -> Iterable[tuple[str, Array]]:
    """Return all scans, then the scans with each number: side by side, each has its own columns."""
    numbers = scans["scan_index"].to_numpy()
    yield "all scans", np.ones(len(scans), dtype=bool)
    counts = pd.Series(numbers).value_counts().sort_index()
    for number in counts.index[counts >= _FEWEST]:
        yield f"the scans with number {number + 1}", numbers == number


def _correlate(table: pd.DataFrame, relation: Relation) -> tuple[float, int]:
    """Return the rank correlation of both sides and the number of scans."""
    step = max(1, len(table) // _MOST_RANKED)
    left, right = (side.dropna() for side in _evaluate(table.iloc[::step], relation))
    if len(left) < _FEWEST or left.nunique() < 2 or right.nunique() < 2:
        return 1.0, 0
    return abs(float(np.corrcoef(left.rank(), right.rank())[0, 1])), len(left)


def _blame(relations: list[Relation], fails: Array, holds: Array) -> list[str]:
    """Return for each case the column that most of its relations speak against.

    Shape:
        fails, holds: (R, N) of each relation and case.
    """
    names = list(dict.fromkeys(name for each in relations for name in each.names))
    member = np.array([[name in each.names for each in relations] for name in names], dtype=float)
    against, in_favor = member @ fails, member @ (holds & ~fails)
    share = against / np.maximum(against + in_favor, 1)
    return [names[number] for number in (share + 0.01 * against).argmax(axis=0)]


def _find_cause(scans: pd.DataFrame, table: pd.DataFrame, relation: Relation, culprit: str, tissue: str) -> str:
    """Return what makes the ranks agree: another row, or the same column of the other tissue."""
    before, _ = _correlate(table, relation)
    orders = [table.index, scans.sort_values("scan_serial", kind="stable").index]
    for order in orders:
        for step in (1, -1):
            moved = table.loc[order].assign(**{culprit: table.loc[order, culprit].shift(step)})
            if _correlate(moved, relation)[0] > before + _CLEARLY:
                return "they agree when the column is moved by one row, so it was probably pasted one row off"
    other = "ED" if tissue == "Hemo" else "Hemo"
    twin = full_name(culprit, other)
    if twin in scans and _correlate(table.assign(**{culprit: scans[twin]}), relation)[0] > before + _CLEARLY:
        return f"they agree when {twin} is taken instead, so the two columns are probably exchanged"
    return "the column was probably pasted one row off, sorted alone or exchanged with another one"


def _describe(relation: Relation, tissue: str) -> str:
    """Return a relation with the full names where they are not the short ones of pyradiomics."""
    return re.sub(rf"\b{VOLUME}\b", TISSUES[tissue], relation.text).replace("3.14159265", "pi")


def _check_scans(
    table: pd.DataFrame, relations: list[Relation], broken: Array, known: Array, tissue: str, findings: RecordFindings
) -> None:
    """Warn of the single scans that break relations, each at the column that is most likely wrong."""
    rows = np.flatnonzero(broken.any(axis=0))
    if not len(rows):
        return
    culprits = np.array(_blame(relations, broken[:, rows], known[:, rows]))
    for culprit in dict.fromkeys(culprits):
        name, own = full_name(culprit, tissue), rows[culprits == culprit]
        problem = "volume_mismatch" if culprit in {VOLUME, "VoxelVolume"} else "values_disagree"

        def message(row: int, name: str = name, culprit: str = culprit) -> str:
            rules = [relations[number] for number in np.flatnonzero(broken[:, row])]
            values = {each: table.at[row, each] for rule in rules for each in rule.names if each != culprit}
            others = ", ".join(f"{full_name(each, tissue)} {value:.4g}" for each, value in values.items())
            texts = "; ".join(_describe(rule, tissue) + _describe_bounds(rule) for rule in rules)
            return f"{name} is {table.at[row, culprit]:.4g}, but {others}; rule: {texts}; check the cell"

        findings.each("warning", problem, own, name, message, lambda row, each=culprit: f"{table.at[row, each]:g}")


def _describe_bounds(relation: Relation) -> str:
    if relation.left == VOLUME:
        return f" and is {_PUBLISHED_RATIO[0]:g} to {_PUBLISHED_RATIO[1]:g} times as large"
    return f" and is {relation.bounds[0]:g} to {relation.bounds[1]:g} times as large" if relation.bounds else ""
