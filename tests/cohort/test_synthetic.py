from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from sklearn.metrics import roc_auc_score

from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import load_cohort
from hemexp.cohort.population import best_possible_auroc, draw_admissions, true_risk
from hemexp.cohort.synthetic import write_workbooks
from hemexp.config import DataConfig, SyntheticDataConfig, TrainConfig
from hemexp.config.compose import load_config

BASE = SyntheticDataConfig("synthetic", num_patients=60, num_unlabelled=10)
LABEL = load_config(TrainConfig).label


def test_the_cohort_has_the_configured_numbers_of_labeled_and_unlabeled_patients():
    cohort = load_cohort(BASE)
    labels = label_patients(cohort.scans, LABEL)
    assert len(cohort.patients) == 70
    assert labels["expansion"].notna().sum() == 60
    assert (labels["reason"] == "no_followup").sum() == 10
    assert "no_scan_in_window" not in set(labels["reason"])


def test_the_same_seed_gives_the_same_cohort_and_another_seed_a_different_one():
    hashes = [load_cohort(replace(BASE, seed=seed)).data_hash for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_workbooks_are_the_same_bytes_each_time(tmp_path: Path):
    for name in ("a", "b"):
        write_workbooks(BASE, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(("prevalence", "seed"), [(0.1, 0), (0.5, 1)])
def test_the_share_of_expansion_is_close_to_the_configured_prevalence(prevalence: float, seed: int):
    data = replace(BASE, num_patients=600, num_unlabelled=0, prevalence=prevalence, seed=seed)
    share = label_patients(load_cohort(data).scans, LABEL)["expansion"].mean()
    assert abs(share - prevalence) < 4 * np.sqrt(prevalence * (1 - prevalence) / 600)


def test_the_best_possible_auroc_is_the_auroc_of_the_true_risk():
    rng = np.random.default_rng(5)
    risk = true_risk(draw_admissions(20_000, rng), replace(BASE, signal=1.5))
    outcome = rng.random(len(risk)) < risk
    assert best_possible_auroc(risk) == pytest.approx(roc_auc_score(outcome, risk), abs=0.012)
    assert best_possible_auroc(np.full(10, 0.3)) == 0.5
    assert best_possible_auroc(np.array([0.0, 1.0])) == 1.0


def test_a_stronger_signal_raises_the_best_possible_auroc():
    best = [load_cohort(replace(BASE, signal=signal)).best_auroc for signal in (0, 1, 4)]
    assert best[0] == 0.5
    assert 0.7 < best[1] < 0.85
    assert best[2] > 0.95


def test_planted_errors_become_findings_and_change_no_outcome(tmp_path: Path):
    plain, with_errors = (load_cohort(replace(BASE, planted_errors=errors)) for errors in (False, True))
    columns = ["patient_id", "first_scan_serial", "expansion"]
    assert label_patients(with_errors.scans, LABEL)[columns].equals(label_patients(plain.scans, LABEL)[columns])
    new = set(with_errors.findings.counts()) - set(plain.findings.counts())
    assert new == {
        "first_serial_conflict",
        "blood_pressure_spaces",
        "radiomics_missing",
        "radiomics_unknown_serial",
        "unread_sheet",
        "ratio_sum",
        "scan_count",
        "stray_cells",
        "index_unknown_serial",
    }


def test_a_wrong_first_serial_in_table_1_does_not_assign_another_patients_scan():
    cohort = load_cohort(replace(BASE, planted_errors=True))
    first, second = cohort.patients.iloc[0], cohort.patients.iloc[1]
    assert first["scan_serial"] != second["scan_serial"]
    assert first["HM_volume"] != second["HM_volume"]
    conflict = next(f for f in cohort.findings.rows if f.problem == "first_serial_conflict")
    assert conflict.patient_id == "sub002"
    assert "sub001's scan number 1" in conflict.message


def test_simulated_workbooks_are_marked_and_other_workbooks_are_not(workbooks: Path, tmp_path: Path):
    simulated = load_cohort(DataConfig("workbook", str(workbooks)))
    assert simulated.is_simulated
    for path in workbooks.glob("*.xlsx"):
        book = openpyxl.load_workbook(path)
        assert book.properties.description == "simulated by hemexp: no real patient"
        book.properties.description = None
        book.save(tmp_path / path.name)
    unmarked = load_cohort(DataConfig("workbook", str(tmp_path)))
    assert not unmarked.is_simulated
    assert unmarked.data_hash == simulated.data_hash
