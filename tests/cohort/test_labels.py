from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort.findings import Cell, Findings
from hemexp.cohort.labels import (
    can_label,
    check_follow_up,
    check_outcome_values,
    label_patients,
    list_outcome_values,
    without_label,
)
from hemexp.cohort.mapping.mapping import ColumnMapping, Mapping, TableMapping
from hemexp.config import ColumnLabelConfig, GrowthLabelConfig
from hemexp.errors import UserError

DEFAULT = GrowthLabelConfig("onset_48h", absolute_ml=6.0, relative=0.33, window_hours=48, clock="onset")


def patient(*scans: tuple[float, float], onset: float = 2.0, name: str = "p") -> pd.DataFrame:
    """Return the scans of a patient, given as (hours from the first scan, volume in 10^-3 mL)."""
    hours, volumes = np.array(scans, dtype=float).T
    return pd.DataFrame(
        {
            "patient_id": name,
            "scan_serial": [f"{name}{i}" for i in range(len(scans))],
            "scan_index": range(len(scans)),
            "hours_from_first_scan": hours,
            "hours_from_onset": onset + hours,
            "HM_volume": volumes,
        }
    )


def outcome(scans: pd.DataFrame, label: GrowthLabelConfig = DEFAULT) -> tuple[float, str]:
    row = label_patients(scans, label).iloc[0]
    return row["expansion"], row["reason"]


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ((10, 36_000), 1),  # 6 mL more, 20 %
        ((10, 35_999), 0),
        ((46, 36_000), 1),  # 48 hours from onset: still in the window
        ((46.01, 36_000), 0),
    ],
)
def test_absolute_growth_counts_within_the_time_window(later: tuple[float, float], expected: int):
    assert outcome(patient((0, 30_000), later))[0] == expected


def test_relative_growth_counts_and_thresholds_are_in_ml():
    assert outcome(patient((0, 3_000), (10, 3_990)))[0] == 1  # 33 %, 0.99 mL
    assert outcome(patient((0, 3_000), (10, 3_989)))[0] == 0
    assert outcome(patient((0, 30_000), (10, 30_006)))[0] == 0  # 6 units are 0.006 mL


def test_growth_equal_to_the_threshold_counts_in_spite_of_rounding():
    assert outcome(patient((0, 700), (10, 931)))[0] == 1  # 0.33 * 700 is a little above 231 in floating point
    assert outcome(patient((0, 700), (10, 931)), replace(DEFAULT, inclusive=False))[0] == 0


def test_an_unknown_onset_gives_no_label_on_the_onset_clock():
    scans = patient((0, 30_000), (10, 30_000), onset=np.nan)
    assert np.isnan(outcome(scans)[0])
    assert outcome(scans, replace(DEFAULT, clock="baseline"))[0] == 0
    assert outcome(patient((0, 30_000), (10, 40_000), onset=np.nan), replace(DEFAULT, clock="baseline"))[0] == 1


def test_growth_must_exceed_the_threshold_where_it_is_not_inclusive():
    strict = replace(DEFAULT, inclusive=False)
    assert outcome(patient((0, 30_000), (10, 36_000)), strict)[0] == 0
    assert outcome(patient((0, 30_000), (10, 36_001)), strict)[0] == 1


def test_the_baseline_clock_starts_at_the_first_scan():
    late = patient((0, 30_000), (47, 40_000), onset=5)
    assert outcome(late)[0] == 0
    assert outcome(late, replace(DEFAULT, clock="baseline"))[0] == 1


def test_growth_from_a_zero_volume_counts_by_its_absolute_size():
    assert outcome(patient((0, 0), (10, 100)))[0] == 0
    assert outcome(patient((0, 0), (10, 6_000)))[0] == 1


def test_a_patient_without_follow_up_has_no_label():
    assert outcome(patient((0, 30_000))) == (pytest.approx(np.nan, nan_ok=True), "no_followup")


def test_a_follow_up_after_the_window_is_negative_or_excluded_as_configured():
    late = patient((0, 30_000), (100, 90_000))
    assert outcome(late) == (0, "no_scan_in_window")
    excluded = outcome(late, replace(DEFAULT, no_scan_in_window="exclude"))
    assert np.isnan(excluded[0])
    assert excluded[1] == "no_scan_in_window"


def test_the_hours_to_expansion_are_the_time_of_the_first_scan_with_expansion():
    scans = patient((0, 10_000), (5, 11_000), (9, 14_000), (20, 30_000), onset=2.5)
    row = label_patients(scans, DEFAULT).iloc[0]
    assert (row["hours_to_expansion"], row["reason"]) == (11.5, "expanded")
    assert np.isnan(label_patients(patient((0, 10_000), (5, 9_000)), DEFAULT).iloc[0]["hours_to_expansion"])


def test_each_patient_is_labeled_separately_in_table_order():
    scans = pd.concat([patient((0, 10_000), (5, 20_000), name="b"), patient((0, 50_000), (3, 50_000), name="a")])
    table = label_patients(scans.reset_index(drop=True), DEFAULT)
    assert table["patient_id"].tolist() == ["b", "a"]
    assert table["expansion"].tolist() == [1, 0]
    assert table["first_scan_serial"].tolist() == ["b0", "a0"]


def test_the_table_names_the_scan_that_decided_and_its_growth():
    scans = patient((0, 10_000), (5, 11_000), (9, 14_000), (20, 30_000), name="a")
    scans = pd.concat([scans, patient((0, 30_000), (5, 31_000), (9, 30_500), (80, 90_000), name="b")])
    scans = pd.concat([scans, patient((0, 30_000), (60, 90_000), name="c")], ignore_index=True)
    table = label_patients(scans, DEFAULT)
    assert table["reason"].tolist() == ["expanded", "no_growth", "no_scan_in_window"]
    assert table["deciding_scan_serial"].tolist()[:2] == ["a2", "b1"]  # the first grown; the most grown in the window
    assert table["growth_ml"].tolist()[:2] == [4.0, 1.0]
    assert table["growth_percent"].tolist()[:2] == [40.0, 3.3]
    assert table.loc[2, ["growth_ml", "growth_percent", "deciding_scan_serial"]].isna().all()


def test_an_unknown_time_leaves_the_label_unknown_only_where_it_would_decide():
    unknown = np.nan
    assert outcome(patient((0, 30_000), (5, 30_000), (unknown, 31_000))) == (0, "no_growth")
    assert outcome(patient((0, 30_000), (5, 40_000), (unknown, 31_000))) == (1, "expanded")
    for scans in (patient((0, 30_000), (5, 30_000), (unknown, 40_000)), patient((0, 30_000), (unknown, 30_000))):
        expansion, reason = outcome(scans)
        assert np.isnan(expansion)
        assert reason == "time_unknown"


def test_a_missing_volume_leaves_the_label_unknown():
    for scans in (
        patient((0, np.nan), (5, 40_000), (9, 90_000)),  # the first scan: a later one does not replace it
        patient((0, 30_000), (5, 30_000), (9, np.nan)),
    ):
        expansion, reason = outcome(scans)
        assert np.isnan(expansion)
        assert reason == "volume_unknown"
    assert outcome(patient((0, 30_000), (5, 40_000), (9, np.nan))) == (1, "expanded")
    assert outcome(patient((0, 30_000), (5, 30_000), (99, np.nan))) == (0, "no_growth")  # after the window


def two_patients(values: list[object], column: str = "result") -> pd.DataFrame:
    """Return the scans of patients p0, p1, ... with one value each."""
    scans = [patient((0, 30_000), (5, 30_000), name=f"p{i}").assign(**{column: v}) for i, v in enumerate(values)]
    return pd.concat(scans, ignore_index=True)


@pytest.mark.parametrize(
    ("values", "keys", "expected"),
    [
        ([1.0, 0.0, np.nan], {}, [1, 0, np.nan]),
        (["Yes", "no", "否"], {}, [1, 0, 0]),
        (["wahr", "faux", "没有"], {}, [1, 0, 0]),
        (["Ja", "0", "sí"], {"positive": "yes"}, [1, 0, 1]),
        (["yes", "no", "n/a"], {"positive": "yes"}, [1, 0, np.nan]),
        (["yes", "unknown", "?"], {}, [1, np.nan, np.nan]),
        (["有", "无", "不详"], {}, [1, 0, np.nan]),
        (["dead", "unknown", "-"], {"positive": "dead"}, [1, np.nan, np.nan]),
        ([1.0, 2.0, 3.0], {"positive": "1"}, [1, 0, 0]),
        ([1.0, "no", "是"], {"positive": "0"}, [0, 1, 0]),
        (["dead", "alive", None], {"positive": "DEAD"}, [1, 0, np.nan]),
        ([2.0, 1.0, 2.0], {"positive": "2"}, [1, 0, 1]),
        ([3.0, 2.0, 6.0], {"at_least": 3}, [1, 0, 1]),
        (["3", "2", None], {"at_least": 3}, [1, 0, np.nan]),
    ],
)
def test_a_column_of_the_file_can_be_the_outcome(values: list[object], keys: dict[str, object], expected: list[float]):
    table = label_patients(two_patients(values), ColumnLabelConfig("column", "result", **keys))
    np.testing.assert_array_equal(table["expansion"], expected)
    reasons = {1: "outcome_yes", 0: "outcome_no"}
    assert table["reason"].tolist() == [reasons.get(each, "outcome_unknown") for each in expected]
    assert table[["hours_to_expansion", "growth_ml", "deciding_scan_serial"]].isna().all(axis=None)


@pytest.mark.parametrize("name", ["mrs_90d", "mRS 90d", "90-day mRS", "90天mRS"])
def test_the_outcome_is_found_by_its_header_in_any_spelling(name: str):
    table = label_patients(two_patients([4.0, 1.0], "mrs_90d"), ColumnLabelConfig("column", name, at_least=3))
    assert table["expansion"].tolist() == [1, 0]


def test_a_header_of_the_file_is_found_by_the_mapping():
    columns = [ColumnMapping(column="Endpunkt", means="death")]
    mapping = Mapping(tables=[TableMapping(file="a.xlsx", columns=columns)])
    label = ColumnLabelConfig("column", "endpunkt")
    assert label_patients(two_patients(["yes", "no"], "death"), label, mapping)["expansion"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("column", "keys", "words"),
    [
        ("expanded", {}, ["label.column=expanded", "no such column", "there are: ", "result"]),
        ("result", {}, ["it holds 'good' (2), 'bad' (1)", "rule: 1 or 0, or yes or no", "label.positive"]),
        (
            "result",
            {"positive": "yes"},
            ["it holds 'good' (2), 'bad' (1)", "leave the cell empty where it is not known"],
        ),
        ("result", {"at_least": 1}, ["it holds 'good' (2), 'bad' (1)", "label.at_least needs numbers"]),
    ],
)
def test_an_outcome_that_cannot_be_read_is_refused_with_what_is_there(
    column: str, keys: dict[str, object], words: list[str]
):
    with pytest.raises(UserError) as error:
        label_patients(two_patients(["good", "bad", "good"]), ColumnLabelConfig("column", column, **keys))
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("there", "here"), [(["yes", "no"], ["ja", "nein"]), (["1", "0"], [1.0, 0.0]), (["dead", "alive"], ["Dead", None])]
)
def test_the_outcome_of_another_hospital_may_be_in_other_words_for_yes_and_no(there: list[str], here: list[object]):
    label = ColumnLabelConfig("column", "result", positive=there[0])
    check_outcome_values(two_patients(here), label, list_outcome_values(two_patients(there), label))
    assert label_patients(two_patients(here), label)["expansion"].iloc[0] == 1


@pytest.mark.parametrize("here", [["deceased", "living"], [2.0, 1.0], ["yes", "maybe"]])
def test_an_outcome_in_words_that_the_cohort_of_the_run_did_not_have_is_refused(here: list[object]):
    label = ColumnLabelConfig("column", "result", positive="yes")
    known = list_outcome_values(two_patients(["yes", "no"]), label)
    assert known == ["0", "1"]
    with pytest.raises(UserError, match=r"it holds .*the cohort of the run did not hold .*rule: the same words as"):
        check_outcome_values(two_patients(here), label, known)
    check_outcome_values(two_patients(here), label, [])  # a run of an earlier version
    check_outcome_values(two_patients([5.0, 6.0]), replace(label, positive=None, at_least=3), known)


def test_a_value_that_no_patient_has_is_refused_where_patients_are_needed():
    scans, label = two_patients(["good", "bad"]), ColumnLabelConfig("column", "result", positive="dead")
    labels = label_patients(scans, label)  # the patients to predict may all be without the outcome
    with pytest.raises(UserError, match=r"no patient has the outcome \(result is dead.*holds 'good' \(1\), 'bad'"):
        check_follow_up(labels, scans, label, lambda record, column: Cell("a.xlsx"), Findings())


def test_a_growth_label_needs_volumes_and_names_columns_that_look_like_an_outcome():
    scans = two_patients([1.0, 0.0], "mrs_90d").drop(columns="HM_volume")
    with pytest.raises(UserError, match=r"label=onset_48h: needs hematoma volumes.*label\.column=NAME.*holds mrs_90d"):
        label_patients(scans, DEFAULT)
    assert not can_label(scans, DEFAULT)
    assert can_label(scans, ColumnLabelConfig("column", "mrs_90d"))
    assert not can_label(scans, ColumnLabelConfig("column", "result"))
    assert without_label(scans)["expansion"].isna().all()


def test_patients_without_a_known_label_are_one_finding_for_each_reason():
    scans = pd.concat([patient((0, 30_000), name=f"p{i}") for i in range(5)], ignore_index=True)
    findings = Findings()
    labels = label_patients(scans, DEFAULT)
    check_follow_up(labels, scans, DEFAULT, lambda record, column: Cell("a.xlsx", "", record + 2, "B"), findings)
    assert findings.counts() == {"no_followup": 5}
    assert len(findings.rows) == 1
