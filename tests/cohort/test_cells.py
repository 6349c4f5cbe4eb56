"""The cells of a column become numbers, codes, times and ids; other cells are findings."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort import cells as converters
from hemexp.cohort.findings import Cell, Finding, Findings, RecordFindings


def column(*cells: object, name: str = "age") -> pd.Series:
    return pd.Series(list(cells), dtype=object, name=name)


def convert(converter: Callable, cells: pd.Series, *args: object) -> tuple[list, list[Finding]]:
    """Return the converted cells, NaN as None, and the findings."""
    findings = Findings()
    patients = pd.Series([f"p{i}" for i in cells.index])
    records = RecordFindings(patients, lambda record, column: Cell("f.xlsx", "", record + 2, "A"), findings)
    values = converter(cells, records, *args)
    values = values[0] if isinstance(values, tuple) else values
    return [None if pd.isna(value) else value for value in values], findings.rows


def read(converter: Callable, *cells: object, args: tuple = ()) -> list:
    """Return the converted cells of a column without findings."""
    values, findings = convert(converter, column(*cells), *args)
    assert not findings, findings
    return values


def problem(converter: Callable, *cells: object, args: tuple = ()) -> Finding:
    (finding,) = convert(converter, column(*cells), *args)[1]
    return finding


UNITS = {"years": 1, "mL": 1000}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (71, 71),
        (" 71 ", 71),
        ("７１", 71),
        ("−3", -3),
        ("1e3", 1000),
        ("67岁", 67),
        ("23.4 mL", 23400),
        ("2.3ml", 2300),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1,234,567", 1234567),
        ("1 234.5", 1234.5),
        ("12,5", 12.5),
        ("0,125", 0.125),
        ("[5.2]", 5.2),
        ("array(5.2)", 5.2),
        ("array([5.2])", 5.2),
        ("  ", None),
        (None, None),
    ],
)
def test_a_number_is_read_as_people_and_programs_write_it(cell: object, value: float | None):
    assert read(converters.numbers, cell, args=(UNITS,)) == [value]


@pytest.mark.parametrize(
    "cell", ["old", "7O", "6_3", "inf", "1e300", "12,34,567", True, dt.datetime(2031, 5, 1), dt.timedelta(hours=3)]
)
def test_a_cell_that_is_not_a_number_is_an_error(cell: object):
    finding = problem(converters.numbers, 5, cell)
    assert (finding.problem, finding.row, finding.patient_id, finding.value) == ("not_a_number", 3, "p1", str(cell))


@pytest.mark.parametrize("cell", ["<1", ">100", "~5", "约5"])
def test_a_number_that_is_not_exact_is_an_error(cell: str):
    assert "an exact number" in problem(converters.numbers, cell).message


def test_an_unknown_unit_is_an_error_that_names_the_known_ones():
    assert (
        "a number in years, mL, or one without a unit" in problem(converters.numbers, "3 weeks", args=(UNITS,)).message
    )


def test_numbers_without_a_unit_have_their_own_factor():
    assert read(converters.numbers, 2.5, "2.5", "2500 μL", args=({"": 1000, "10^-3 mL": 1},)) == [2500] * 3


def test_a_comma_is_read_as_the_other_numbers_of_the_column_show():
    assert read(converters.numbers, "1,234", "12,5") == [1.234, 12.5]
    assert read(converters.numbers, "1,234", "12.5") == [1234, 12.5]
    assert read(converters.numbers, "1.234", "12,5") == [1234, 12.5]
    assert read(converters.numbers, "1.234") == [1.234]


def test_a_comma_that_may_be_either_is_one_error_for_the_column():
    finding = problem(converters.numbers, "1,234", "2,345", "3,456", "4,567", 3.5)
    assert finding.count == 4
    assert "1,234 can be 1.234 or 1234" in finding.message


def test_texts_for_a_missing_value_are_empty_with_one_warning():
    values, (finding,) = convert(converters.numbers, column(5, "NA", "无", "NA", "-", "?"))
    assert values == [5, None, None, None, None, None]
    assert (finding.severity, finding.problem, finding.count) == ("warning", "missing_text", 5)
    assert "'NA' (2)" in finding.message


def test_many_cells_with_the_same_error_are_one_finding_with_their_values():
    finding = problem(converters.numbers, *["old"] * 3, *["young"] * 2)
    assert finding.count == 5
    assert "'old' (3), 'young' (2)" in finding.message


def test_a_column_of_numbers_stays_one():
    values, findings = convert(converters.numbers, pd.Series([1.5, math.nan, math.inf], name="age"))
    assert values == [1.5, None, None]
    assert findings[0].problem == "not_a_number"


def test_yes_and_no_are_understood_in_several_languages():
    yes = read(converters.yes_no, 1, True, "yes", "Y", "是", "有", "阳性", "+", "ja", "oui", "sí", "x", "present")
    no = read(converters.yes_no, 0, False, "no", "N", "否", "无", "阴性", "-", "nein", "non", "absent", "(-)")
    assert (set(yes), set(no)) == ({1.0}, {0.0})


def test_codes_1_and_2_are_not_guessed():
    finding = problem(converters.yes_no, 1, 2, 2, 2, 2)
    assert (finding.problem, finding.count) == ("out_of_range", 4)
    assert "age is '2' (4); rule: 0 or 1" in finding.message
    assert read(converters.yes_no, 1, 2, "2", args=({"1": 1, "2": 0},)) == [1, 0, 0]


def test_an_unknown_answer_is_missing_and_another_text_is_an_error():
    values, (finding,) = convert(converters.yes_no, column("unknown", "不详", 1))
    assert (values, finding.problem) == ([None, None, 1], "missing_text")
    assert problem(converters.yes_no, "maybe").problem == "not_a_number"


def test_sex_is_1_for_male_and_2_for_female():
    assert read(converters.sex, "M", "male", "男性", "männlich", "homme", 1, "1") == [1] * 7
    assert read(converters.sex, "F", "female", "女", "w", "mujer", 2, 2.0) == [2] * 7


def test_sex_as_0_and_1_is_one_error_with_counts():
    finding = problem(converters.sex, 0, 0, 0, 0, "x")
    assert (finding.problem, finding.count) == ("unknown_sex", 5)
    assert "'0' (4), 'x' (1)" in finding.message
    assert read(converters.sex, 0, 1, args=({"0": 2, "1": 1},)) == [2, 1]


def test_m_is_a_woman_where_h_is_there_too():
    assert read(converters.sex, "H", "M") == [1, 2]  # hombre and mujer, homem and mulher
    assert read(converters.sex, "M", "F") == [1, 2]


def test_a_blood_pressure_is_split():
    cells = column("180/90", "１６６／９１", "170-95", "160 / 80 mmHg", None, name="pressure")
    values, (finding,) = convert(converters.blood_pressure, cells)
    assert values == [180, 166, 170, 160, None]
    assert (finding.problem, finding.value) == ("blood_pressure_spaces", "160 / 80 mmHg")
    assert "read as 160/80" in finding.message
    assert problem(converters.blood_pressure, "high").problem == "blood_pressure"


NOON = pd.Timestamp("2031-05-04 13:20")


@pytest.mark.parametrize(
    "cell",
    [
        dt.datetime(2031, 5, 4, 13, 20),
        "2031-05-04 13:20:00",
        "2031-05-04T13:20:00.000",
        "2031/5/4 13:20",
        "2031年5月4日 13时20分",
        "2031年5月4日 下午1时20分",
        "2031-05-04 1:20 PM",
        "04-May-2031 13:20",
        "4. Mai 2031 13:20 Uhr",
        "May 4, 2031 1:20 p.m.",
        20310504132000,
        "20310504 1320",
    ],
)
def test_a_time_is_read_as_people_and_programs_write_it(cell: object):
    assert read(converters.times, cell) == [NOON]


def test_the_order_of_day_and_month_is_never_guessed():
    assert read(converters.times, "04/05/2031 13:20", "4.5.2031 13:20", args=("day_first",)) == [NOON, NOON]
    assert read(converters.times, "05/04/2031 13:20", args=("month_first",)) == [NOON]
    assert problem(converters.times, "04/05/2031 13:20").problem == "not_a_time"


@pytest.mark.parametrize("cell", ["soon", "2031-13-04 13:20", "1969-05-04 13:20", "2031-05-04 13:2", 5.5])
def test_a_cell_that_is_not_a_time_is_an_error(cell: object):
    finding = problem(converters.times, "2031-05-04 13:20:00", cell)
    assert (finding.problem, finding.row) == ("not_a_time", 3)
    assert "a date and a time, year first" in finding.message


def test_times_with_one_time_zone_keep_their_clock_time_and_with_several_are_in_utc():
    one = ["2031-05-04T13:20:00Z", "2031-05-04T15:20:00Z"]
    several = ["2031-05-04 13:20:00+01:00", "2031-05-04T15:20:00+0200"]
    for cells, expected in (
        (one, [NOON, NOON + pd.Timedelta(hours=2)]),
        (several, [NOON - pd.Timedelta(hours=1), NOON]),
    ):
        values, (finding,) = convert(converters.times, column(*cells))
        assert values == expected
        assert (finding.severity, finding.problem, finding.count) == ("warning", "time_zone", 2)


def test_a_time_zone_in_some_cells_only_is_an_error():
    finding, _ = convert(converters.times, column("2031-05-04 13:20:00+08:00", "2031-05-04 13:20:00"))[1]
    assert (finding.problem, finding.row) == ("not_a_time", 3)
    assert "a time zone in all cells of a column, or in none" in finding.message


def test_seconds_and_milliseconds_from_1970_are_times():
    for factor, unit in ((1, "seconds"), (1000, "milliseconds")):
        values, (finding,) = convert(converters.times, column(1935667200 * factor, 1935670800 * factor))
        assert values == [NOON, NOON + pd.Timedelta(hours=1)]
        assert f"read as {unit} from 1970" in finding.message


def test_whole_numbers_are_times_of_day_where_one_has_three_digits():
    assert read(converters.clocks, 1320, 905, 49)[2] == pd.Timedelta(minutes=49)


def test_days_and_hours_are_a_duration():
    assert read(converters.hours, "1 days 03:30:00", "0 days 00:30:00", args=(None,)) == [27.5, 0.5]


def test_the_mapping_decides_which_sign_separates_thousands():
    findings_of = {"args": (None, ",")}
    assert read(converters.numbers, "14,100", "9,250", **findings_of) == [14.1, 9.25]
    assert read(converters.numbers, "14,100", "9,250", args=(None, ".")) == [14100, 9250]


def test_words_of_the_mapping_are_added_to_yes_and_no():
    assert read(converters.yes_no, "yes", "no", "ex", args=({"ex": 0.0},)) == [1, 0, 0]


def test_days_and_months_that_a_spreadsheet_exchanged_are_put_right():
    swapped = dt.datetime(2031, 4, 5, 13, 20)
    assert read(converters.times, swapped, "04/05/2031 13:20", args=("day_first_swapped",)) == [NOON, NOON]


def has_clock(*cells: object) -> list[bool]:
    findings = RecordFindings(pd.Series("", index=range(len(cells))), lambda i, c: Cell("f.csv", "", i, c), Findings())
    return converters.times(column(*cells), findings)[1].tolist()


def test_a_date_without_a_time_of_day_is_not_midnight():
    assert has_clock("2031-05-04", "2031-05-04 13:20", None) == [False, True, False]
    assert has_clock(dt.date(2031, 5, 4), dt.datetime(2031, 5, 4, 13)) == [False, True]
    assert has_clock(dt.datetime(2031, 5, 4), dt.datetime(2031, 5, 5)) == [False, False]
    assert has_clock(dt.datetime(2031, 5, 4), dt.datetime(2031, 5, 5, 13)) == [True, True]


def test_excels_day_numbers_are_read_as_dates_with_one_warning():
    values, (finding,) = convert(converters.times, pd.Series([47972.5, 47973.25], name="scan_time"))
    assert values == [pd.Timestamp("2031-05-04 12:00"), pd.Timestamp("2031-05-05 06:00")]
    assert (finding.problem, finding.count) == ("excel_dates", 2)


@pytest.mark.parametrize(
    "cell", ["13:20", "13:20:00", "1320", 1320, "1:20 PM", "13时20分", dt.time(13, 20), 0.5555555556, "13.20 Uhr"]
)
def test_a_time_of_day_is_a_duration_from_midnight(cell: object):
    assert read(converters.clocks, cell) == [dt.timedelta(hours=13, minutes=20)]
    assert problem(converters.clocks, "25:20").problem == "not_a_time"


@pytest.mark.parametrize(
    ("cell", "unit", "value"),
    [
        (2.5, None, 2.5),
        (150, "minutes", 2.5),
        (2, "days", 48),
        ("2:30", None, 2.5),
        ("2:30", "minutes", 2.5),
        ("2h30", None, 2.5),
        ("2h 30min", None, 2.5),
        ("150 min", None, 2.5),
        ("2小时30分", None, 2.5),
        ("2.5 h", "minutes", 2.5),
        ("2,5", None, 2.5),
        (dt.timedelta(hours=2, minutes=30), "minutes", 2.5),
        (dt.time(2, 30), None, 2.5),
    ],
)
def test_a_duration_is_read_in_hours(cell: object, unit: str | None, value: float):
    assert read(converters.hours, cell, args=(unit,)) == [value]


def test_ids_are_text_without_decimals_and_invisible_characters():
    assert read(converters.ids, 1.0, 2, "3.0", " sub004 ", "００５", None) == ["1", "2", "3", "sub004", "005", ""]
    for hidden in ("\u200b", "\x10", "\u202e"):
        values, (finding,) = convert(converters.ids, column(f"sub{hidden}002", "sub003"))
        assert (values, finding.severity, finding.problem) == (["sub002", "sub003"], "warning", "zero_width")


def test_a_serial_is_text_and_a_whole_number_stays_exact():
    serials = read(converters.serials, 20310101000000, 20310101000000.0, "20310101000000.0", "20310101000000", None)
    assert serials == ["20310101000000"] * 4 + [None]


@pytest.mark.parametrize("cell", ["2.03101E+13", 2.5, "20310101000000.5", True, dt.datetime(2031, 1, 1)])
def test_a_serial_that_lost_digits_is_an_error(cell: object):
    assert problem(converters.serials, cell).problem == "serial_unreadable"


def test_numbers_of_16_digits_are_one_error_for_the_column():
    finding = problem(converters.serials, *[1234567890123456 + i for i in range(10)])
    assert finding.count == 10
    assert "Excel keeps 15 digits" in finding.message


def test_serials_of_another_form_are_a_warning_only_beside_the_usual_one():
    assert read(converters.serials, "CT0001-1", "CT0001-2") == ["CT0001-1", "CT0001-2"]
    assert problem(converters.serials, "20310101000000", "20310101000001", "12").problem == "serial_format"


def test_the_order_of_dates_follows_from_the_texts():
    assert converters.date_orders(column("13/05/2031", "04/05/2031 13:20")) == {"day_first"}
    assert converters.date_orders(column("05/13/2031", "04/05/2031 13:20")) == {"month_first"}
    assert converters.date_orders(column("03/05/2031", "04/05/2031 13:20")) == {"day_first", "month_first"}
    assert converters.date_orders(column("2031-05-04", "2031-05-13")) == {"year_first"}
    assert converters.date_orders(column(dt.datetime(2031, 5, 4))) == {"year_first"}
    assert converters.date_orders(column("soon", "later")) == set()


def test_real_dates_beside_texts_with_the_day_first_are_suspicious():
    assert converters.mixes_dates(column(dt.datetime(2031, 4, 5), "13/05/2031"))
    assert not converters.mixes_dates(column("04/05/2031", "13/05/2031"))
    assert not converters.mixes_dates(column(dt.datetime(2031, 4, 5), "2031-05-13"))


def test_the_units_of_cells_are_counted():
    assert converters.cell_units(column("23.4 mL", "12ml", 5, "7")) == Counter({"ml": 2})


@pytest.mark.parametrize(
    ("cells", "kinds"),
    [
        ((1.5, 2.5), {"number"}),
        (("23.4 mL", "12 mL", "NA"), {"number"}),
        ((0, 1, 1), {"number", "yes_no"}),
        ((1, 2), {"number", "sex"}),
        (("男", "女"), {"sex"}),
        (("是", "无"), {"yes_no"}),
        (("180/90",), {"pressure"}),
        (("13:20", "9:05"), {"clock", "duration"}),
        (("04/05/2031 13:20",), {"time"}),
        ((dt.datetime(2031, 5, 4),), {"time"}),
        ((45050.5, 45051.5), {"number", "time"}),
        (("2h 30min",), {"duration"}),
        (("CT1-1", "CT1-2"), {"text"}),
        ((None, " "), set()),
    ],
)
def test_the_kind_of_a_column_follows_from_its_cells(cells: tuple, kinds: set[str]):
    assert converters.looks_like(column(*cells)) == kinds


def test_a_column_is_blank_where_all_cells_are_empty_or_white_space():
    assert converters.is_blank_column(column(None, "  ", np.nan))
    assert converters.is_blank_column(pd.Series([np.nan, np.nan]))
    assert not converters.is_blank_column(column(None, 0))


def test_two_digits_of_a_year_are_read_where_they_are_at_the_end():
    assert read(converters.times, "04.05.31 13:20", "17.05.31 08:00", args=("day_first",)) == [
        dt.datetime(2031, 5, 4, 13, 20), dt.datetime(2031, 5, 17, 8)
    ]  # fmt: skip
    assert converters.date_orders(column("04.05.31 13:20", "17.05.31 08:00")) == {"day_first"}
    assert converters.date_orders(column("31-05-04 13:20", "31-05-17 08:00")) == set()  # the year is perhaps first


def test_the_points_of_a_score_and_words_of_other_languages_are_understood():
    assert read(converters.numbers, "13分", args=({"分": 1},)) == [13]
    assert read(converters.sex, "man", "vrouw") == [1, 2]
    assert read(converters.yes_no, "never", "current") == [0, 1]
    assert problem(converters.numbers, 5, "k.A.").problem == "missing_text"


def test_numbers_without_a_unit_are_found_among_cells_with_units():
    assert converters.plain_numbers(column("23,4 mL", "30,5", "12,1", "NA")).tolist() == [30.5, 12.1]
