"""Find the column that a user names, by our name, by the header of the file or by a synonym."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from hemexp.cohort.columns import RADIOMICS, RATIOS, known_columns
from hemexp.cohort.headers import read_header, squeeze
from hemexp.cohort.mapping.mapping import Mapping as ColumnsMapping

MOST_NAMED = 5  # columns in a message
_FEW = 3  # territories and radiomics that are named, not counted only
_KINDS = {
    **{name: "radiomics" for names in RADIOMICS.values() for name in names},
    **{name: "territories" for names in RATIOS.values() for name in names},
}


def find_column(name: str, columns: Sequence[str], mapping: ColumnsMapping | None = None) -> str | None:
    """Return the column that a name means; None if there is none. Case, spaces and punctuation do not matter.

    Args:
        name: our name, a header of the file, or a synonym of the data dictionary.
        columns: of the cohort's scans.
        mapping: of the cohort, for the headers of the file.
    """
    if name in columns:
        return name
    if names_later_scan(name, mapping):
        return None
    squeezed = squeeze(name)
    tables = mapping.tables if mapping else []
    headers = [(column.column, column.means) for table in tables for column in table.columns]
    for text, means in (*((column, column) for column in columns), *headers):
        if means in columns and squeeze(text) == squeezed:
            return str(means)
    means = read_header(name).means
    return means if means in columns else None


def names_later_scan(name: str, mapping: ColumnsMapping | None) -> bool:
    """Return whether a name is a header of later scans alone, where the scans of a patient stand side by side."""
    columns = [column for table in mapping.tables for column in table.columns] if mapping else []
    scans = [column.scan for column in columns if squeeze(column.column) == squeeze(name)]
    return bool(scans) and all(scans)


def suggest(name: str, columns: Sequence[str]) -> str:
    """Return what a name may mean, and the columns that are there, in words."""
    squeezed = {squeeze(column): column for column in columns}
    similar = [squeezed[each] for each in get_close_matches(squeeze(name), squeezed)]
    return (f"did you mean {' or '.join(similar)}? " if similar else "") + f"there are: {list_columns(columns)}"


def list_columns(columns: Iterable[str], most: int = 10**6, empty: str = "none") -> str:
    """Return names in words: ``age, sex, 20 territories, 62 radiomics``; at most this many names, or `empty`."""
    columns = list(columns)
    kinds = Counter(_KINDS[name] for name in columns if name in _KINDS)
    names = [name for name in columns if name not in _KINDS]
    counts = [f"{count} {kind}" for kind, count in kinds.items()]
    if counts and len(columns) - len(names) <= _FEW:
        counts[-1] += f" ({', '.join(name for name in columns if name in _KINDS)})"
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more, *counts]) or empty


def describe_left_out(left_out: Mapping[str, str]) -> str:
    """Return which columns or baselines are left out and why, in words: the first names of each reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    return "; ".join(f"{list_columns(names, MOST_NAMED)} ({reason})" for reason, names in reasons.items())


def list_outcomes(columns: Iterable[str]) -> list[str]:
    """Return the columns that look like an outcome."""
    return [name for name in columns if name in known_columns() and known_columns()[name].role == "outcome"]
