"""The cells of one column: converted to numbers, codes, times and ids, or described by their looks."""

from hemexp.cohort.cell import read_code
from hemexp.cohort.cells.codes import sex, yes_no
from hemexp.cohort.cells.convert import is_blank, is_blank_column, texts
from hemexp.cohort.cells.ids import ids, serials
from hemexp.cohort.cells.looks import cell_units, date_orders, holds_days, looks_like, mixes_dates, plain_numbers
from hemexp.cohort.cells.numbers import blood_pressure, numbers
from hemexp.cohort.cells.times import clocks, event_hours, holds_zones, hours, times

__all__ = [
    "blood_pressure",
    "cell_units",
    "clocks",
    "date_orders",
    "event_hours",
    "holds_days",
    "holds_zones",
    "hours",
    "ids",
    "is_blank",
    "is_blank_column",
    "looks_like",
    "mixes_dates",
    "numbers",
    "plain_numbers",
    "read_code",
    "serials",
    "sex",
    "texts",
    "times",
    "yes_no",
]
