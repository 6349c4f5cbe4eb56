"""The cohort as a whole: units, exchanged columns, late scans, and the dates in serials."""

import numpy as np
import pandas as pd
import pytest
from test_checks import by_patient, check, make_scans

RNG = np.random.default_rng(5)
PATIENTS = 40
VOLUMES = np.repeat(np.exp(RNG.normal(9.7, 0.8, PATIENTS)), 2) * np.tile([1, 1.1], PATIENTS)


def make(**columns: object) -> pd.DataFrame:
    return make_scans(PATIENTS, **{"HM_volume": VOLUMES, **columns})


def problems(scans: pd.DataFrame) -> dict[str, str]:
    """Return the severity of each problem and column."""
    return {f"{finding.problem} {finding.column}": finding.severity for finding in check(scans)}


def test_a_usual_cohort_has_no_findings():
    assert problems(make(ED_volume=VOLUMES * 0.6, age=by_patient(*RNG.normal(64, 9, PATIENTS)))) == {}


@pytest.mark.parametrize(
    ("name", "median"),
    [("age", 5.3), ("age", 95), ("diastolic", 30), ("glucose", 0.9), ("creatinine", 8), ("onset_to_first_scan", 120)],
)
def test_an_unusual_median_is_a_warning_that_names_the_column(name: str, median: float):
    values = by_patient(*median * RNG.uniform(0.9, 1.1, PATIENTS))
    scans = make(**{name: values})
    if name == "onset_to_first_scan":
        scans["hours_from_onset"] = values + scans["hours_from_first_scan"]
    assert problems(scans) == {f"unusual_median {name}": "warning"}


def test_exchanged_ages_and_pressures_are_named():
    scans = make(
        age=by_patient(*RNG.normal(95, 10, PATIENTS)), diastolic=by_patient(*RNG.normal(64, 9, PATIENTS)),
        systolic=by_patient(*RNG.normal(170, 9, PATIENTS)),
    )  # fmt: skip
    assert problems(scans) == {"unusual_median age": "warning"}


def test_edema_in_ml_beside_hematomas_in_microliters_is_an_error():
    assert problems(make(ED_volume=VOLUMES / 1000)) == {"volume_unit ED_volume": "error"}


@pytest.mark.parametrize("number", [0, 1])
def test_first_or_later_volumes_in_ml_are_an_error(number: int):
    scans = make()
    scans.loc[scans["scan_index"] == number, "HM_volume"] /= 1000
    assert problems(scans) == {"volume_unit HM_volume": "error"}


def test_a_part_of_the_patients_in_ml_is_an_error_and_one_patient_a_warning():
    scans = make()
    scans.loc[:39, "HM_volume"] /= 1000
    assert problems(scans) == {"volume_unit HM_volume": "error"}
    scans = make()
    scans.loc[10:11, "HM_volume"] /= 1000
    assert problems(scans) == {"volume_unit HM_volume": "warning"}


@pytest.mark.parametrize(("row", "problem"), [(10, "volume_unit"), (11, "volume_jump")])
def test_a_single_scan_in_ml_is_a_warning_without_radiomics_too(row: int, problem: str):
    scans = make()
    scans.loc[row, "HM_volume"] /= 1000
    assert problems(scans) == {f"{problem} HM_volume": "warning"}


@pytest.mark.parametrize("factor", [0.1, 10])
def test_a_lost_decimal_point_of_a_volume_is_a_warning(factor: float):
    scans = make()
    scans.loc[11, "HM_volume"] = 20000 * factor
    scans.loc[10, "HM_volume"] = 22000
    assert problems(scans) == {"volume_jump HM_volume": "warning"}


def test_a_scan_dated_a_month_or_a_year_late_is_a_warning():
    for days in (30, 365):
        scans = make()
        scans.loc[11, "scan_time"] += pd.Timedelta(days=days)
        for name in ("hours_from_first_scan", "hours_from_onset"):
            scans.loc[11, name] += 24 * days
        assert problems(scans) == {"far_later scan_time": "warning"}


def test_an_onset_a_year_before_the_first_scan_is_a_warning():
    scans = make()
    scans.loc[10:11, "hours_from_onset"] += 24 * 365
    assert problems(scans) == {"far_later scan_time": "warning"}


def test_first_volumes_pasted_one_row_off_are_an_error_without_radiomics_too():
    scans = make()
    firsts = scans["scan_index"] == 0
    scans.loc[firsts, "HM_volume"] = np.roll(scans.loc[firsts, "HM_volume"], 1)
    assert problems(scans) == {"volumes_disagree HM_volume": "error"}


def test_late_and_early_second_scans_are_a_warning():
    for factor, problem in ((60, "follow_up_late"), (1 / 60, "follow_up_early")):
        scans = make()
        scans["hours_from_first_scan"] *= factor
        scans["hours_from_onset"] = 1 + scans["hours_from_first_scan"]
        scans["scan_time"] = scans["scan_time"].where(scans["scan_index"] == 0)
        assert f"{problem} scan_time" in problems(scans)


def with_dates(scans: pd.DataFrame) -> pd.DataFrame:
    start = scans["scan_time"] + pd.to_timedelta(np.repeat(np.arange(PATIENTS), 2) * 3, unit="D")
    serials = start.dt.strftime("%Y%m%d") + [f"{number:06d}" for number in range(len(scans))]
    return scans.assign(scan_time=start, scan_serial=serials)


def test_a_serial_with_another_date_than_its_scan_is_an_error_and_one_day_a_warning():
    scans = with_dates(make())
    assert problems(scans) == {}
    for date, severity in (("20310609", "error"), ("20310513", "error"), ("20310511", "warning")):
        wrong = scans.copy()
        wrong.loc[4, "scan_serial"] = date + "000004"
        assert problems(wrong) == {"serial_date scan_time": severity}
    scans["scan_serial"] = np.roll(scans["scan_serial"], 2)
    assert problems(scans) == {"serial_date scan_time": "error"}


def test_serials_of_another_form_are_not_compared():
    scans = make()
    scans["scan_serial"] = [f"1234{number:010d}" for number in range(len(scans))]
    assert problems(scans) == {}


def test_shares_without_a_volume_are_a_warning():
    scans = make(HM_MCA_R_Ratio=np.ones(2 * PATIENTS))
    scans.loc[1, "HM_volume"] = 0
    names = ("ratio_without_volume HM_volume", "volume_jump HM_volume", "constant_column HM_MCA_R_Ratio")
    assert problems(scans) == dict.fromkeys(names, "warning")


@pytest.mark.parametrize(("volume", "problem"), [(0.0, "volume_zero"), (310_000.0, "volume_large")])
def test_first_volumes_of_zero_and_volumes_that_no_head_holds_are_warnings(volume: float, problem: str):
    scans = make()
    scans.loc[10, "HM_volume"] = volume
    assert problems(scans)[f"{problem} HM_volume"] == "warning"


@pytest.mark.parametrize("hours", [0.02, 0.1])
def test_scans_within_minutes_of_onset_or_of_each_other_are_a_warning(hours: float):
    scans = make()
    if hours < 0.05:
        scans.loc[10:11, "hours_from_onset"] -= scans.loc[10, "hours_from_onset"] - hours
    else:
        scans.loc[11, "scan_time"] = scans.loc[10, "scan_time"] + pd.Timedelta(hours=hours)
        scans.loc[11, "hours_from_first_scan"] = hours
        scans.loc[11, "hours_from_onset"] = scans.loc[10, "hours_from_onset"] + hours
    assert problems(scans) == {"scans_close scan_time": "warning"}
