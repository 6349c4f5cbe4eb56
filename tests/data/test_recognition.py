"""A run's own patients are recognized in another file, and new patients are not."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parent.parent / "cohort"))
from test_same_patient import draw

from hemexp.data.recognition import RECOGNITION, build_own_scans, read_own_scans, recognize
from hemexp.errors import UserError
from hemexp.files.writing import write_csv


def own_scans(scans: pd.DataFrame, directory: Path) -> pd.DataFrame:
    """Return what a run keeps of a cohort: half of the patients train, the others test."""
    num_patients = scans["patient_id"].nunique()
    roles = ["train"] * (num_patients // 2) + ["test"] * (num_patients - num_patients // 2)
    write_csv(build_own_scans(scans, roles), directory / RECOGNITION)
    table = read_own_scans(directory)
    assert table is not None
    return table


def rename(scans: pd.DataFrame, serials: bool = True) -> pd.DataFrame:
    changed = scans.assign(patient_id="H2-" + scans["patient_id"])
    return changed.assign(scan_serial="9" + scans["scan_serial"]) if serials else changed


@pytest.mark.parametrize("decimals", [0, 1])
def test_no_new_patient_with_round_volumes_is_taken_for_the_runs_own(decimals: int, tmp_path: Path):
    for seed in range(5):
        own = own_scans(draw(60, seed, decimals), tmp_path)
        new = draw(90, 100 + seed, decimals)
        assert (recognize(rename(new), own)["recognized_by"] == "").all()
        assert (recognize(new.assign(scan_serial="A" + new["scan_serial"]), own)["recognized_by"] == "").all()


def test_another_hospital_that_counts_its_patients_and_scans_in_the_same_way_is_new(tmp_path: Path):
    own = own_scans(draw(60, 0), tmp_path)
    same_ids = draw(60, 1)
    assert set(same_ids["scan_serial"]) & set(own["scan_serial"])
    assert (recognize(same_ids, own)["role"] == "").all()
    made = own.assign(scan_serial=own["patient_id"] + "-" + (own["scan_index"] + 1).astype(str))  # without serials
    new = same_ids.assign(scan_serial=same_ids["patient_id"] + "-" + (same_ids["scan_index"] + 1).astype(str))
    assert (recognize(new, made)["role"] == "").all()


def test_own_patients_are_recognized_by_id_and_serial_also_where_a_value_was_corrected(tmp_path: Path):
    scans = draw(60, 0, decimals=0)
    own = own_scans(scans, tmp_path)
    table = recognize(scans.assign(HM_volume=scans["HM_volume"] + 1000), own)
    assert set(table["recognized_by"]) == {"id and serial"}
    assert table["role"].tolist() == ["train"] * 30 + ["test"] * 30
    later = scans[scans["scan_index"] == 1].assign(scan_index=0).reset_index(drop=True)  # a file that begins later
    assert set(recognize(later, own)["recognized_by"]) == {"id and serial"}


def test_own_patients_are_recognized_by_serial_under_another_id(tmp_path: Path):
    scans = draw(60, 0, decimals=0)
    table = recognize(rename(scans, serials=False), own_scans(scans, tmp_path))
    assert set(table["recognized_by"]) == {"serial"}
    assert table["run_patient"].tolist() == scans["patient_id"].unique().tolist()


def test_own_patients_are_recognized_by_measurements_and_this_can_be_turned_off(tmp_path: Path):
    scans = draw(60, 0)
    own = own_scans(scans, tmp_path)
    chosen = scans[scans["patient_id"].isin(["P0003", "P0050"])].reset_index(drop=True)
    mixed = pd.concat([draw(40, 9), rename(chosen)], ignore_index=True)
    mixed["scan_serial"] = "Z" + mixed["scan_serial"]
    table = recognize(mixed, own)
    assert table["recognized_by"].tolist() == [""] * 40 + ["measurements"] * 2
    assert table["role"].tolist()[-2:] == ["train", "test"]
    assert table["run_patient"].tolist()[-2:] == ["P0003", "P0050"]
    assert (recognize(mixed, own, by_measurements=False)["role"] == "").all()


def test_a_person_who_is_in_both_parts_of_the_run_counts_as_trained_on(tmp_path: Path):
    scans = draw(40, 0)
    copied = rename(scans[scans["patient_id"] == "P0001"])
    own = own_scans(pd.concat([scans, copied], ignore_index=True), tmp_path)
    again = copied.assign(patient_id="new", scan_serial="8" + copied["scan_serial"]).reset_index(drop=True)
    assert recognize(again, own)["role"].tolist() == ["train"]


def test_ids_that_look_like_numbers_or_gaps_are_read_back(tmp_path: Path):
    scans = draw(3, 0)
    scans["patient_id"] = scans["patient_id"].map(
        dict(zip(scans["patient_id"].unique(), ["007", "NA", "1e5"], strict=True))
    )
    own = own_scans(scans.assign(HM_volume=scans["HM_volume"].where(scans["scan_index"] > 0)), tmp_path)
    assert own["patient_id"].unique().tolist() == ["007", "NA", "1e5"]
    assert own["HM_volume"].isna().sum() == 3
    np.testing.assert_array_equal(own["ED_volume"], scans["ED_volume"])


def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path):
    assert read_own_scans(tmp_path) is None
    own = own_scans(draw(10, 0), tmp_path)
    path = tmp_path / RECOGNITION
    for damaged in (
        own.assign(role="banana"),
        own.drop(columns="role"),
        own.assign(scan_index="first"),
        own[own["scan_index"] > 0],
        pd.concat([own, own]),
    ):
        write_csv(damaged, path)
        with pytest.raises(UserError, match=rf"{RECOGNITION}: .*as hemexp wrote it"):
            read_own_scans(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=f"{RECOGNITION}: cannot be read"):
        read_own_scans(tmp_path)
