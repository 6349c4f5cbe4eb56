"""The TRIPOD+AI checklist: it is complete and claims only facts from the files."""

import string
from pathlib import Path
from typing import Any

import pytest
from fake_run import result, write_run

from hemexp.report.blocks import load_texts
from hemexp.report.run.checklist import AUTHOR, DONE, NONE, PARTLY, checklist_rows
from hemexp.report.run.read import read_run

ITEMS = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 "
    "18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)


def test_the_checklist_has_27_items_in_52_rows():
    rows = load_texts("tripod_ai")
    assert " ".join(row["item"] for row in rows) == ITEMS
    assert len({row["item"].rstrip(string.ascii_letters) for row in rows}) == 27


def test_a_full_run_fills_the_rows_that_its_files_support(tmp_path: Path):
    rows = {row["item"]: row for row in checklist_rows(read_run(write_run(tmp_path / "run")))}
    assert rows["12a"]["status"] == DONE
    assert "60 train (12 with expansion), 40 test (11 with expansion)" in rows["12a"]["filled"]
    assert rows["10"]["status"] == PARTLY
    assert rows["24"]["status"] == NONE
    for item in ("2", "5b", "6a", "8b", "8c", "12d", "17", "18a", "18d", "19", "20c", "27c"):
        assert rows[item] | {"asks": "", "part": ""} == {
            "item": item, "part": "", "asks": "", "status": AUTHOR, "filled": "", "left": "",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("item", "block"),
    [("10", "sample_size"), ("14", "subgroups"), ("15", "thresholds"), ("23a", "metrics"), ("25", "claim")],
)
def test_a_row_is_not_filled_without_its_file(item: str, block: str, tmp_path: Path):
    rows = checklist_rows(read_run(write_run(tmp_path / "run", {block: None})))
    assert next(row["status"] for row in rows if row["item"] == item) == AUTHOR


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nothing was over- or undersampled or weighted by outcome; risks were not recalibrated"),
        (
            {"loss": {"name": "weighted"}},
            "gives both outcomes the same total weight; risks were not recalibrated",
        ),
        (
            {"calibrate": "logistic"},
            "outcome; risks were recalibrated by cross-validation within the training part",
        ),
        ({"loss": {"name": "weighted"}, "model": {"name": "logistic"}}, "nothing was over- or undersampled"),
        ({"loss": {"name": "custom"}}, ""),
        ({"model": {"name": "custom", "target": "my_nets.Net"}}, ""),
    ],
)
def test_the_row_on_imbalance_says_what_the_run_did(changes: dict[str, Any], words: str, tmp_path: Path):
    run = read_run(write_run(tmp_path / "run", {"config": result()["config"] | changes}))
    row = next(row for row in checklist_rows(run) if row["item"] == "13")
    assert words in row["filled"]
    assert row["status"] == (DONE if words else AUTHOR)


def test_the_rows_on_centers_name_only_a_section_that_the_page_has(tmp_path: Path):
    split = {"name": "center", "center": "Ward 1"}
    run = read_run(write_run(tmp_path / "run", {"config": result()["config"] | {"split": split}}))
    rows = {row["item"]: row for row in checklist_rows(run)}
    assert rows["12d"]["filled"] == "performance: the center Ward 1 is the test part"
    assert rows["12d"]["left"] == "differences in the parameters of the model"
    assert rows["23b"]["status"] == AUTHOR


def test_an_ensemble_is_named_with_its_model(tmp_path: Path):
    run = read_run(write_run(tmp_path / "run", {"config": result()["config"] | {"ensemble": 8}}))
    row = next(row for row in checklist_rows(run) if row["item"] == "12c")
    assert "model “SACNN”, the mean of 8 networks, with its settings" in row["filled"]
