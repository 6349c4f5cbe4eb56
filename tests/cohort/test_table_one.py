"""Table one, compared with values computed by hand."""

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort.table_one import COLUMNS, characteristics


def test_the_table_agrees_with_values_computed_by_hand():
    patients = pd.DataFrame(
        {
            "age": [50.0, 60, 70, 80, 99, 99],
            "sex": [1.0, 2, 1, np.nan, 1, 1],
            "HM_volume": [10_000.0, 20_000, 30_000, 50_000, 0, 0],
        }
    )
    expansion = pd.Series([0.0, 0, 1, 1, 1, np.nan])
    table = characteristics(patients, expansion, ["train", "test", "train", "val", "unused", "unlabelled"])
    assert table.columns.tolist() == COLUMNS
    rows = table.set_index("variable").drop(columns="SMD").T.to_dict("list")
    assert rows == {
        "patients": ["4", "2", "2", 0],
        "age, years": ["65 (58 to 72)", "55 (52 to 58)", "75 (72 to 78)", 0],
        "sex: male": ["2 (67 %)", "1 (50 %)", "1 (100 %)", 1],
        "hematoma volume, mL": ["25.0 (17.5 to 35.0)", "15.0 (12.5 to 17.5)", "40.0 (35.0 to 45.0)", 0],
    }
    differences = table.set_index("variable")["SMD"]
    assert differences["age, years"] == pytest.approx(20 / np.sqrt(50), abs=1e-3)
    assert np.isnan(differences["sex: male"])  # one known value with expansion


def test_the_difference_of_two_shares_follows_austins_formula():
    smoking = np.repeat([1.0, 0, 1, 0], [30, 70, 45, 55])
    expansion = pd.Series(np.repeat([0.0, 1], 100))
    table = characteristics(pd.DataFrame({"smoking": smoking}), expansion, ["train"] * 200)
    assert table["SMD"].iloc[-1] == pytest.approx(0.15 / np.sqrt((0.3 * 0.7 + 0.45 * 0.55) / 2), abs=1e-3)


def test_groups_without_patients_have_empty_cells():
    patients = pd.DataFrame({"age": [50.0, np.nan]})
    none = characteristics(patients, pd.Series([np.nan, np.nan]), ["unlabelled"] * 2)
    assert none["overall"].tolist() == ["0", ""]
    one = characteristics(patients, pd.Series([0.0, 0.0]), ["train"] * 2)
    assert one.iloc[1].drop("SMD").tolist() == ["age, years", "50 (50 to 50)", "50 (50 to 50)", "", 1]


def test_extra_columns_and_own_inputs_are_rows_and_empty_columns_are_not():
    patients = pd.DataFrame(
        {
            "systolic": [np.nan] * 4,
            "surgery": [1.0, 0, 0, 0],
            "gcs": [15.0, 14, 9, 3],
            "glucose": [5.5, 7.25, 8, 6],
            "ivh_volume": [0.0, 1_000, 2_000, 3_000],
            "spot_sign": [1.0, 0, np.nan, 0],
            "Lactate": [1.5, 2.5, 3.5, 4.5],
            "Centre": ["A", "B", "A", None],
            "unused": [1.0, 2, 3, 4],
        }
    )
    table = characteristics(patients, pd.Series([0.0, 0, 1, 1]), ["train"] * 4, ["Lactate", "Centre"])
    assert dict(zip(table["variable"], table["overall"], strict=True)) == {
        "patients": "4",
        "treatment: Surgery for the hemorrhage": "1 (25 %)",
        "Glasgow Coma Scale": "12 (8 to 14)",
        "Blood glucose, mmol/L": "6.62 (5.88 to 7.44)",
        "Volume of blood in the ventricles, mL": "2 (1 to 2)",
        "Spot sign": "1 (33 %)",
        "Lactate": "3.00 (2.25 to 3.75)",
        "Centre: A": "2 (67 %)",
        "Centre: B": "1 (33 %)",
    }
