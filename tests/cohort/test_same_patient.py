"""Two ids that are one person are found by measurements, and two persons never are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort.checks.same_patient import find_same_patients
from hemexp.cohort.load import load_cohort
from hemexp.config import DataConfig
from hemexp.files.writing import write_csv

VOLUMES = ["HM_volume", "ED_volume"]


def draw(num_patients: int, seed: int, decimals: int = 3) -> pd.DataFrame:
    """Return the scans of an invented cohort; volumes in 10^-3 mL have so many decimals in mL."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(num_patients), rng.integers(1, 5, num_patients))
    index = pd.Series(patient).groupby(patient).cumcount().to_numpy()
    size, pressure = np.exp(rng.normal(2.6, 0.9, num_patients)), rng.normal(172, 24, num_patients).round()
    volume = size[patient] * np.where(index > 0, rng.normal(1, 0.05, len(patient)), 1)
    admission = pd.Timestamp("2031-01-01") + pd.to_timedelta(rng.integers(0, 525_600, num_patients), "min")
    return pd.DataFrame(
        {
            "patient_id": [f"P{number:04d}" for number in patient],
            "scan_serial": [f"CT{number:06d}" for number in range(len(patient))],
            "scan_index": index,
            "scan_time": admission[patient] + pd.to_timedelta(24 * index, "h"),
            "age": rng.integers(40, 90, num_patients)[patient].astype(float),
            "systolic": pressure[patient],
            "HM_volume": 1000 * volume.round(decimals),
            "ED_volume": 1000 * (volume * rng.uniform(0.5, 1.4, len(patient))).round(decimals),
        }
    )


def copy(scans: pd.DataFrame, patients: list[str], change: Callable[[pd.DataFrame], pd.DataFrame] = lambda x: x):
    """Return the cohort with some patients again, under other ids and serials and at other dates."""
    rows = scans[scans["patient_id"].isin(patients)]
    again = rows.assign(
        patient_id="X" + rows["patient_id"],
        scan_serial=rows["scan_serial"].str[:8] + "9" + rows["scan_serial"].str[9:],
        scan_time=rows["scan_time"] + pd.Timedelta(minutes=7),
    )
    return pd.concat([scans, change(again)], ignore_index=True)


def found(scans: pd.DataFrame) -> set[tuple[str, str]]:
    return {(pair.first, pair.second) for pair in find_same_patients(scans)}


def long_history(scans: pd.DataFrame) -> str:
    """Return the patient with four scans and the largest hematoma."""
    followed = scans.loc[scans["scan_index"] == 3, "patient_id"]
    return str(scans[scans["patient_id"].isin(followed)].set_index("patient_id")["HM_volume"].idxmax())


@pytest.mark.parametrize("decimals", [0, 1, 3])
def test_people_with_round_volumes_are_never_taken_for_one(decimals: int):
    for seed in range(6):
        scans = draw(150, seed, decimals)
        assert found(scans) == set()
        assert found(scans[["patient_id", "scan_serial", "scan_index", "HM_volume"]]) == set()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x, id="renamed"),
        pytest.param(lambda x: x[x["scan_index"] == 0], id="first scan alone"),
        pytest.param(lambda x: x.assign(scan_index=x["scan_index"] - 1)[x["scan_index"] > 0], id="later scans alone"),
        pytest.param(lambda x: x[x["scan_index"] < 2], id="part of the history"),
        pytest.param(lambda x: x.assign(**{name: x[name].round(-1) for name in VOLUMES}), id="rounded"),
        pytest.param(lambda x: x.assign(systolic=np.nan), id="a missing value"),
        pytest.param(lambda x: x.assign(age=x["age"] + 1), id="another age"),
    ],
)  # fmt: skip
def test_a_patient_with_a_second_id_is_found(change: Callable[[pd.DataFrame], pd.DataFrame]):
    scans = draw(60, 1)
    patient = long_history(scans)
    assert found(copy(scans, [patient], change)) == {(patient, f"X{patient}")}


def test_many_copies_do_not_make_their_values_common():
    scans = draw(60, 2)
    followed = scans.loc[scans["scan_index"] == 1, "patient_id"].tolist()
    assert len(followed) > 40
    assert found(copy(scans, followed)) == {(name, f"X{name}") for name in followed}


def test_a_history_of_tenths_of_a_milliliter_is_enough_but_a_first_scan_is_not():
    scans = draw(60, 3, decimals=1)
    patient = long_history(scans)
    assert found(copy(scans, [patient])) == {(patient, f"X{patient}")}
    assert found(copy(scans, [patient], lambda x: x[x["scan_index"] == 0])) == set()


def test_whole_milliliters_do_not_prove_that_two_ids_are_one_person():
    scans = draw(60, 4, decimals=0)
    assert found(copy(scans, scans["patient_id"].unique()[:10].tolist(), lambda x: x[x["scan_index"] == 0])) == set()


def test_another_volume_speaks_against_one_person():
    scans = draw(60, 1)
    patient = long_history(scans)
    assert found(copy(scans, [patient], lambda x: x.assign(HM_volume=x["HM_volume"] + 1500))) == set()


def test_values_computed_from_others_count_once():
    scans = draw(60, 5, decimals=0)
    milliliters = scans["HM_volume"] / 1000
    computed = {"log": np.log(milliliters), "root": milliliters**0.5, "radius": milliliters ** (1 / 3)}
    assert found(scans.assign(**computed)) == set()


def test_the_order_of_the_rows_does_not_matter():
    scans = draw(40, 6)
    patient = long_history(scans)
    table = copy(scans, [patient])
    names = table["patient_id"].unique()[::-1]
    backwards = pd.concat([table[table["patient_id"] == name] for name in names], ignore_index=True)
    assert found(backwards) == {(f"X{patient}", patient)}


def test_both_cells_of_one_person_are_named(workbooks: Path, tmp_path: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    write_csv(copy(scans, ["sub003"]), tmp_path / "scans.csv")
    cohort = load_cohort(DataConfig("tidy", str(tmp_path)))
    table = cohort.findings.frame()
    table = table[table["problem"] == "same_patient"]
    assert table["patient_id"].tolist() == ["sub003", "Xsub003"]
    first = scans.index[scans["patient_id"] == "sub003"][0]
    assert table["row"].tolist() == [first + 2, len(scans) + 2]
    assert (table["severity"] == "warning").all()
    assert "sub003 and Xsub003 are one person by their measurements" in table["message"].iloc[0]
    assert "HM_volume" in table["message"].iloc[0]
    assert cohort.same_patients == ((2, cohort.patients["patient_id"].nunique() - 1),)


def test_the_published_cohort_has_no_patient_twice(real_cohort: Path):
    cohort = load_cohort(DataConfig("workbook", str(real_cohort)))
    assert cohort.same_patients == ()
    scans = cohort.scans
    volumes = scans[["patient_id", "scan_serial", "scan_index", *VOLUMES]]
    assert found(volumes) == set()
    firsts = scans.loc[scans["scan_index"] == 0, "patient_id"].tolist()[::10]
    assert found(copy(scans, firsts)) == {(name, f"X{name}") for name in firsts}


def with_hours(scans: pd.DataFrame) -> pd.DataFrame:
    """Return the scans with times to the minute, and the hours between them."""
    rng = np.random.default_rng(7)
    patient = pd.factorize(scans["patient_id"])[0]
    later = np.where(scans["scan_index"] > 0, rng.integers(-300, 300, len(scans)), 0)
    time = scans["scan_time"] + pd.to_timedelta(later, "min")
    first = time.groupby(patient).transform("first")
    delay = rng.integers(30, 600, patient.max() + 1)[patient] / 60
    hours = (time - first).dt.total_seconds() / 3600
    return scans.assign(scan_time=time, hours_from_first_scan=hours, hours_from_onset=hours + delay)


@pytest.mark.parametrize("decimals", [0, 1, 3])
def test_people_with_scans_at_usual_hours_are_never_taken_for_one(decimals: int):
    for seed in range(4):
        scans = with_hours(draw(150, seed, decimals))
        assert found(scans) == set()
        assert found(scans.assign(scan_time=scans["scan_time"].dt.floor("h"))) == set()


@pytest.mark.parametrize("shift", [pd.Timedelta(days=1), pd.NaT])
def test_equal_hours_between_the_scans_tell_that_two_ids_are_one_person(shift: pd.Timedelta):
    scans = with_hours(draw(60, 3, decimals=1))
    patient = long_history(scans)
    again = copy(scans, [patient], lambda x: x.assign(scan_time=x["scan_time"] + shift))
    assert found(again) == {(patient, f"X{patient}")}


def test_a_later_scan_under_a_mistyped_id_is_found_by_the_onset():
    scans = with_hours(draw(60, 3, decimals=1))
    patient = long_history(scans)
    row = scans.index[(scans["patient_id"] == patient) & (scans["scan_index"] == 3)]
    scans.loc[row, ["patient_id", "scan_index"]] = ["X1", 0]
    scans.loc[row, "hours_from_first_scan"] = 0.0
    (pair,) = find_same_patients(scans)
    assert (pair.first, pair.second, pair.num_scans) == (patient, "X1", 0)
    assert pair.columns[:2] == ["onset_time", "age"]
