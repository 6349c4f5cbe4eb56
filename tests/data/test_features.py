import numpy as np
import pandas as pd
import pytest

from hemexp.cohort import columns as c
from hemexp.data.features import GROUPS, feature_caveats, feature_names, input_table
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
