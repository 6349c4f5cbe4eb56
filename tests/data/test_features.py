import numpy as np
import pandas as pd
import pytest
from partial_cohort import by_patient, make_cohort, synthetic_scans

from hemexp.cohort import columns as c
from hemexp.cohort.load import Cohort
from hemexp.cohort.mapping.mapping import ColumnMapping, Mapping, TableMapping
from hemexp.config import BaselineConfig, Ridge2Config, TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.features import (
    GROUPS,
    Inputs,
    choose_inputs,
    constant_inputs,
    feature_caveats,
    feature_names,
    fixed_inputs,
    input_table,
)
from hemexp.errors import UserError


def test_the_paper_group_has_its_72_inputs_in_the_papers_order():
    names = feature_names("paper")
    assert len(names) == len(set(names)) == 72
    assert names[:3] == ["age", "sex", "mrs_before"]
    assert names[10:12] == ["systolic", "diastolic"]
    assert names[12:19] == c.TREATMENTS
    assert names[19:21] == ["HM_volume", "HM_ACA_R_Ratio"]
    assert names[30] == "ED_volume"
    assert names[41:] == c.RADIOMICS["ED"]


def test_the_admission_group_contains_no_treatment():
    admission = set(feature_names("admission"))
    expected = (set(feature_names("paper")) - set(c.TREATMENTS) - set(c.RADIOMICS["ED"])) | set(c.RADIOMICS["Hemo"])
    assert admission == expected | {"onset_to_first_scan"}
    assert feature_caveats(list(admission)) == []
    assert feature_caveats(feature_names("paper")) == ["treatments_after_first_scan"]


@pytest.mark.parametrize("group", GROUPS)
def test_the_outcome_and_the_split_are_never_inputs(group: str):
    assert not {"mrs_90d", "dataset_part", "hours_from_first_scan", "scan_index"} & set(feature_names(group))


def test_the_minimal_group_is_log_volume_in_ml_and_log_hours():
    patients = pd.DataFrame({"HM_volume": [np.e * 1000, 0.0], "onset_to_first_scan": [1.0, np.nan]})
    table = input_table(patients, feature_names("minimal"))
    np.testing.assert_allclose(table["log_volume"], [1, np.log(0.01)])
    np.testing.assert_allclose(table["log_hours"], [0, np.nan])


def test_an_unknown_group_is_refused_with_its_name():
    with pytest.raises(UserError, match=r"features\.name=ct: .*admission"):
        feature_names("ct")


def choose(cohort: Cohort, *overrides: str, outcome: str | None = None) -> Inputs:
    features = load_config(TrainConfig, list(overrides)).features
    return choose_inputs(cohort, features, range(40), outcome)


def test_available_takes_every_input_with_enough_values_and_the_users_own():
    cohort = make_cohort(
        ["age", "sex", "onset_to_first_scan", "mrs_90d", "hemostasis", "HM_volume", "Hemo_original_shape_Flatness"],
        ["Site", "Lactate", "Empty"],
        gcs=by_patient([15.0, np.nan, 3.0, 9.0, 8.0]).astype(float),  # 80 %
        inr=by_patient([1.1, np.nan, np.nan, 1.0]).astype(float),
        death="no",
        Empty=np.nan,
        NotNamed=1.0,
        Site=by_patient(["A", "B", None, "C"]),
        Lactate=1.5,
    )
    inputs = choose(cohort, "features=available")
    assert inputs.names == [
        "onset_to_first_scan", "age", "sex", "HM_volume", "Hemo_original_shape_Flatness", "gcs", "Lactate",
    ]  # fmt: skip
    assert inputs.left_out == {
        "inr": "a value in 50 % of the training part; features.min_share is 0.8",
        "Site": "a value in 75 % of the training part; features.min_share is 0.8",
        "Empty": "no value in the training part",
    }
    more = choose(cohort, "features=available", "features.min_share=0.5").names
    assert set(more) - set(inputs.names) == {"inr", "Site=A", "Site=B", "Site=C"}
    assert choose(cohort, "features=available", outcome="age").names[:2] == ["onset_to_first_scan", "sex"]


def test_only_the_training_part_decides_on_values_and_levels():
    number = synthetic_scans()["patient_id"].factorize()[0]
    late = number >= 40
    cohort = make_cohort(
        ["age"], ["Site"], gcs=np.where(late, np.nan, 9.0), inr=np.where(late, 1.0, np.nan),
        Site=np.where(late, "new", np.where(number % 2, "B", "A")),
    )  # fmt: skip
    inputs = choose(cohort, "features=available")
    assert inputs.names == ["age", "gcs", "Site=A", "Site=B"]
    table = input_table(cohort.patients, inputs.names)
    assert table[["Site=A", "Site=B"]].to_numpy()[[0, 1, 50]].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_empty_columns_change_nothing():
    columns = ["age", "sex", "HM_volume", "onset_to_first_scan"]
    padded = make_cohort(columns, **dict.fromkeys([*c.RADIOMICS["ED"], "gcs", "hemostasis"], np.nan))
    inputs = choose(padded, "features=available")
    assert inputs.names == choose(make_cohort(columns), "features=available").names
    assert set(inputs.left_out.values()) == {"no value in the training part"}


def test_columns_are_found_by_our_names_by_headers_and_by_the_mapping():
    cohort = make_cohort(["age", "HM_volume", "systolic", "onset_to_first_scan"], ["Serum Lactate"],
                         **{"Serum Lactate": 1.5, "gcs": 9.0})  # fmt: skip
    cohort.mapping = Mapping(
        tables=[TableMapping(file="a.xlsx", columns=[ColumnMapping(column="Bewusstsein", means="gcs")])]
    )
    names = "[Age,血肿体积,SBP,serum_lactate,bewusstsein,log_hours,hours_from_onset,age]"
    inputs = choose(cohort, "features=columns", f"features.columns={names}")
    assert inputs.names == [
        "age", "HM_volume", "systolic", "Serum Lactate", "gcs", "log_hours", "onset_to_first_scan",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("agee", ["no column agee", "did you mean age?", "there are: ", "onset_to_first_scan"]),
        ("mrs_90d", ["mrs_90d is known only later", "known at the first scan"]),
        ("patient_id", ["patient_id is an id"]),
        ("gcs", ["gcs is the outcome (label.column)", "never an input"]),
        ("Name", ["features=columns: Name has 40 different texts", "at most 10"]),
        ("log_volume", ["no column log_volume"]),
    ],
)
def test_a_column_that_cannot_be_an_input_is_refused_with_the_rule(name: str, words: list[str]):
    cohort = make_cohort(
        ["age", "onset_to_first_scan", "mrs_90d"], gcs=9.0, Name=by_patient([f"n{i}" for i in range(65)])
    )
    with pytest.raises(UserError) as error:
        choose(cohort, "features=columns", f"features.columns=[{name}]", outcome="gcs")
    assert all(word in str(error.value) for word in words), error.value


def test_all_columns_that_cannot_be_inputs_are_named_at_once():
    with pytest.raises(UserError, match=r"(?s)no column agee.*mrs_90d is known only later"):
        choose(make_cohort(["age", "mrs_90d"]), "features=columns", "features.columns=[agee,mrs_90d,age]")


def test_a_column_with_many_texts_is_left_out_of_the_available_ones():
    cohort = make_cohort(["age"], ["Name"], Name=by_patient([f"n{i}" for i in range(65)]))
    left_out = choose(cohort, "features=available").left_out
    assert left_out == {"Name": "40 different texts in the training part; rule: at most 10"}


def test_treatments_can_be_named_and_are_a_caveat():
    cohort = make_cohort(["age", "hemostasis"], surgery=1.0)
    names = choose(cohort, "features=columns", "features.columns=[surgery,age]").names
    assert feature_caveats(names) == ["treatments_after_first_scan"]


def test_a_fixed_group_names_the_columns_that_the_cohort_lacks():
    present = [name for name in c.SCAN_COLUMNS if name not in [*c.SCAN_KEYS, *c.RADIOMICS["ED"], "hemostasis"]]
    message = (
        r"features=paper: 32 of its 72 columns are not in the cohort \(hemostasis, 31 radiomics\); for your own files "
        "give experiment=own_data, the first model to try, or features=available"
    )
    with pytest.raises(UserError, match=message):
        choose(make_cohort(present))
    empty = choose(make_cohort(present, **dict.fromkeys([*c.RADIOMICS["ED"], "hemostasis"], np.nan)))
    assert len(empty.names) == 72 - len(empty.left_out) == 40


def test_a_cohort_without_any_input_is_refused():
    with pytest.raises(UserError, match=r"features=available: no column is left as an input; gcs \(no value"):
        choose(make_cohort([], gcs=np.nan), "features=available")


def test_the_table_of_inputs_has_gaps_for_absent_columns_and_for_missing_levels():
    patients = pd.DataFrame({"Site": ["A", None, "B=C"], "Code": [1.0, 2.0, np.nan]})
    table = input_table(patients, ["age", "log_volume", "Site=A", "Site=B=C", "Code=1", "Other=x"])
    assert table[["age", "log_volume", "Other=x"]].isna().all(axis=None)
    np.testing.assert_array_equal(table["Site=A"], [1, np.nan, 0])
    np.testing.assert_array_equal(table["Site=B=C"], [0, np.nan, 1])
    np.testing.assert_array_equal(table["Code=1"], [1, 0, np.nan])
    with pytest.raises(UserError, match=r"column Site: holds text .*'A'.* this input is a number"):
        input_table(patients, ["Site"])


def test_brain_takes_its_other_items_where_the_cohort_has_them():
    brain = BaselineConfig("brain")
    full = make_cohort(["HM_volume", "onset_to_first_scan", "stroke_history"], anticoagulation=1.0, warfarin=np.nan,
                       ventricular_blood=0.0)  # fmt: skip
    usual = list(brain.inputs)
    assert fixed_inputs(brain, full.patients) == ([*usual, "anticoagulation", "ventricular_blood"], [])
    assert fixed_inputs(brain, make_cohort(["HM_volume"]).patients) == (["HM_volume"], [])
    assert fixed_inputs(brain, make_cohort(["age"]).patients)[1] == ["HM_volume"]
    assert fixed_inputs(Ridge2Config("ridge2"), make_cohort(["age"]).patients)[1] == [
        "HM_volume",
        "onset_to_first_scan",
    ]


def test_a_column_that_the_files_hold_without_any_value_is_named():
    cohort = make_cohort(["age", "HM_volume"])
    cohort.empty = ("gcs", "hemostasis", "systolic")
    inputs = choose(cohort, "features=available")
    assert set(inputs.left_out) == {"gcs", "systolic"}  # a treatment is not one of them
    assert "no value in any row" in inputs.left_out["gcs"]
    with pytest.raises(UserError, match="systolic has no value in any row"):
        choose(cohort, "features=columns", "features.columns=[age,systolic]")
    with pytest.raises(UserError, match="systolic: no value in any row"):
        choose(cohort, "features=admission")


def test_inputs_with_one_value_are_named():
    table = np.array([[1.0, 2.0, np.nan], [1.0, 3.0, np.nan], [np.nan, 2.0, np.nan]])
    assert constant_inputs(table, ["a", "b", "c"]) == ["a"]
