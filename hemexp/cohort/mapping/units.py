"""The units that a known column may have."""

from hemexp.cohort import columns as c
from hemexp.cohort.headers import FACTORS, clean, read_unit


def get_factor(means: str, unit: str | None) -> float | None:
    """Return the factor from a unit to the unit of our column; None if the column cannot have this unit."""
    column = c.known_columns().get(means)
    if not unit or column is None:
        return 1.0
    spelling = read_unit(unit) or unit
    own = column.unit or ""
    if clean(spelling) == clean(own) or spelling == read_unit(own):
        return 1.0
    if column.kind in FACTORS:
        return FACTORS[column.kind].get(spelling)
    return dict(column.units).get(spelling)


def list_units(known: c.Column) -> list[str]:
    """Return the units that a column may have."""
    return list(FACTORS.get(known.kind) or [each for each in (known.unit, *dict(known.units)) if each])
