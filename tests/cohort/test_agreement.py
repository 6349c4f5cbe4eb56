"""Columns that say the same thing twice must agree: a column in the wrong rows is an error that names it."""

import numpy as np
import pandas as pd
import pytest
from partial_cohort import synthetic_scans

from hemexp.cohort import columns as c
from hemexp.cohort.checks.scans import check_scans
from hemexp.cohort.findings import Cell, CohortError, Finding, Findings

HEMO, ED = "Hemo_original_shape_", "ED_original_shape_"
GREY = "ED_NCCT_original_firstorder_"


def check(scans: pd.DataFrame, is_published: bool = True) -> list[Finding]:
    findings = Findings()
    try:
        check_scans(
            scans, lambda record, column: Cell("scans.csv", "", record + 2, column), findings, True, is_published
        )
    except CohortError:
        assert any(finding.severity == "error" for finding in findings.rows)
    return findings.rows


@pytest.fixture
def scans() -> pd.DataFrame:
    return synthetic_scans().reset_index(drop=True)


@pytest.fixture(scope="module")
def usual() -> set[str]:
    return {finding.problem for finding in check(synthetic_scans().reset_index(drop=True))}


def new(scans: pd.DataFrame, usual: set[str], is_published: bool = True) -> dict[tuple[str, str], Finding]:
    """Return the findings that the synthetic cohort does not have, by column and problem."""
    found = check(scans, is_published)
    return {(finding.column, finding.problem): finding for finding in found if finding.problem not in usual}


def move_down(values: pd.Series, rows: pd.Series | None = None) -> pd.Series:
    """Return a column whose cells in some rows are those of the row above."""
    result, chosen = values.copy(), values.index if rows is None else values.index[rows]
    result[chosen] = np.roll(values[chosen], 1)
    return result


def test_the_synthetic_cohort_agrees_with_itself(usual: set[str]):
    assert not usual & {"columns_disagree", "values_disagree", "volume_mismatch", "volume_unit", "unusual_median"}


@pytest.mark.parametrize("name", ["HM_volume", "ED_volume"])
@pytest.mark.parametrize("number", [None, 0], ids=["all scans", "first scans"])
def test_a_volume_pasted_one_row_off_is_an_error_that_says_so(scans, usual, name: str, number: int | None):
    rows = None if number is None else scans["scan_index"] == number
    scans[name] = move_down(scans[name], rows)
    finding = new(scans, usual)[name, "columns_disagree"]
    assert finding.severity == "error"
    assert "probably pasted one row off" in finding.message
    assert f"{name} rises and falls with VoxelVolume" in finding.message


def test_exchanged_hematoma_and_edema_are_an_error_that_names_both(scans, usual):
    scans[["HM_volume", "ED_volume"]] = scans[["ED_volume", "HM_volume"]].to_numpy()
    finding = new(scans, usual)["HM_volume", "columns_disagree"]
    assert "ED_volume is taken instead, so the two columns are probably exchanged" in finding.message


@pytest.mark.parametrize(
    "name",
    [
        *(HEMO + feature for feature in ("VoxelVolume", "MeshVolume", "SurfaceArea", "Sphericity", "Elongation")),
        *(ED + feature for feature in ("MajorAxisLength", "Maximum3DDiameter", "Maximum2DDiameterRow", "Flatness")),
        *(GREY + feature for feature in ("Range", "Mean", "Variance", "10Percentile", "Median", "Entropy", "Energy")),
        *(GREY + feature for feature in ("Skewness", "RobustMeanAbsoluteDeviation", "InterquartileRange")),
    ],
)
def test_radiomics_pasted_one_row_off_are_an_error_that_names_the_column(scans, usual, name: str):
    scans[name] = move_down(scans[name], scans[name].notna())
    found = {key: finding for key, finding in new(scans, usual).items() if finding.severity == "error"}
    assert all(finding.problem == "columns_disagree" for finding in found.values())
    assert name in next(iter(found.values())).message


def test_one_wrong_cell_is_a_warning_at_the_column_that_breaks_most_relations(scans, usual):
    row = scans.index[scans[HEMO + "MeshVolume"].notna()][3]
    scans.loc[row, HEMO + "MeshVolume"] *= 10
    (finding,) = new(scans, usual).values()
    assert (finding.severity, finding.problem) == ("warning", "values_disagree")
    assert (finding.column, finding.row) == (HEMO + "MeshVolume", row + 2)
    assert "SurfaceArea = SurfaceVolumeRatio * MeshVolume" in finding.message


@pytest.mark.parametrize("factor", [0.3, 8])
def test_a_volume_far_from_its_voxels_is_a_warning(scans, usual, factor: float):
    row = scans.index[(scans["HM_volume"] > 20_000) & (scans["scan_index"] == 0)][0]
    scans.loc[row, "HM_volume"] *= factor
    (finding,) = new(scans, usual).values()
    assert (finding.severity, finding.problem, finding.row) == ("warning", "volume_mismatch", row + 2)


def test_a_volume_in_another_unit_than_its_voxels_is_an_error_in_the_published_layout_only(scans, usual):
    scans["ED_volume"] *= 20
    assert new(scans, usual)["ED_volume", "volume_unit"].severity == "error"
    assert new(scans, usual, is_published=False)["ED_volume", "volume_unit"].severity == "warning"


def test_first_volumes_at_twice_the_scale_of_later_ones_are_a_warning(scans, usual):
    scans.loc[scans["scan_index"] == 0, "HM_volume"] *= 2
    finding = new(scans, usual)["HM_volume", "volume_unit"]
    assert "of the scans with number 1" in finding.message


def test_a_small_cohort_is_not_judged_by_its_ranks(scans, usual):
    few = scans[scans["patient_id"].isin(scans["patient_id"].unique()[:2])].reset_index(drop=True)
    few["HM_volume"] = move_down(few["HM_volume"])
    assert "columns_disagree" not in {problem for _, problem in new(few, usual)}


def test_other_volumes_of_one_size_are_a_warning_at_most(scans, usual):
    rng = np.random.default_rng(0)
    scans["HM_volume"] = 20_000 + rng.uniform(-1000, 1000, len(scans))
    scans[HEMO + "VoxelVolume"] = 10_000 + rng.uniform(-500, 500, len(scans)) + scans["HM_volume"] / 40
    table = scans.drop(columns=[name for name in c.RADIOMICS["Hemo"] if name != HEMO + "VoxelVolume"])
    assert not [finding for finding in new(table, usual).values() if finding.column.startswith("Hemo")]


@pytest.mark.parametrize(
    ("feature", "value"),
    [("Elongation", 1.2), ("Sphericity", -0.1), ("MeshVolume", -5), ("Flatness", 1.5)],
)
def test_a_shape_outside_its_mathematical_limits_is_an_error(scans, usual, feature: str, value: float):
    row = scans.index[scans[HEMO + feature].notna()][0]
    scans.loc[row, HEMO + feature] = value
    finding = new(scans, usual)[HEMO + feature, "out_of_range"]
    assert finding.severity == "error"
    assert ("0 to 1" if feature != "MeshVolume" else "at least 0") in finding.message


def test_exchanged_sides_and_shifted_shares_name_the_territories(scans, usual):
    right, left = "HM_MCA_R_Ratio", "HM_MCA_L_Ratio"
    exchanged = scans.assign(**{right: scans[left], left: scans[right]})
    assert new(exchanged, usual)[right, "territories_disagree"].severity == "warning"
    shifted = scans.assign(**{right: move_down(scans[right])})
    assert "at most 1" in new(shifted, usual)["HM_ACA_R_Ratio", "ratio_sum_large"].message


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (f"{GREY}RootMeanSquared", lambda scans: (scans[f"{GREY}RootMeanSquared"] ** 2 + 1e6) ** 0.5),
        (f"{GREY}Kurtosis", lambda scans: scans[f"{GREY}Kurtosis"] - 3),
    ],
    ids=["voxelArrayShift", "excess kurtosis"],
)
def test_another_definition_of_a_feature_is_one_warning(scans, usual, name: str, change):
    scans[name] = change(scans)
    (finding,) = [each for each in new(scans, usual, is_published=False).values() if name in each.message]
    assert (finding.severity, finding.problem) == ("warning", "values_disagree")
    assert finding.count > len(scans) / 2
    assert "definition" in finding.message
