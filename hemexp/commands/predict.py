"""Probabilities for every patient of a cohort, from a finished run and raw files."""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import load_cohort
from hemexp.commands.console import (
    calibration_notes,
    caveat_notes,
    interval_width_note,
    print_scores,
    print_tested,
    score_notes,
)
from hemexp.config import BaselineConfig, LabelConfig, PredictConfig
from hemexp.data.features import input_table
from hemexp.data.split import patient_keys
from hemexp.errors import UserError
from hemexp.evaluation.calibration import calibration
from hemexp.evaluation.comparison import compare
from hemexp.evaluation.metrics import auprc_by_chance, prevalence_scores, score_predictions
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_csv, write_json
from hemexp.models.predictor import load_predictor
from hemexp.models.registry import build_estimator
from hemexp.types import Array

log = logging.getLogger(__name__)

_OF_ITS_EVALUATION = {  # caveats of a run that say nothing of its model on other patients
    "one_outcome_in_test",
    "folds_diverged",
    "cross_validated_within_training",
    "too_few_events_for_thresholds",
    "too_few_events_for_refits",
    "too_few_events_for_cross_validation",
}
_BRAIN = BaselineConfig("brain")


def predict(cfg: PredictConfig, directory: Path | str) -> dict[str, Any]:
    """Write ``predictions.csv`` and ``result.json``; the run directory is only read.

    Patients whom the run trained on are recognized, also under another name: they get a probability and the role
    ``train``, and are never scored. Others with a known outcome, by the run's own label definition, are tested; those
    that the run itself set aside keep the role ``unused``.

    Returns:
        The content of result.json.

    Raises:
        UserError: the run's checkpoint or the cohort cannot be used.
    """
    started = time.perf_counter()
    directory, run = Path(directory), RunDirectory(str(cfg.run_dir))
    trained = run.result()
    missing = [
        key
        for key in ("verdict", "caveats", "majority", "config_hash", "num_train", "events_train")
        if key not in trained
    ]
    if missing:
        raise UserError(f"{run.path / 'result.json'}: is no finished run's result: {', '.join(missing)} missing")
    net = load_predictor(run.best)
    known = _known_patients(run)
    cohort = load_cohort(cfg.data)
    labels = label_patients(cohort.scans, LabelConfig(**net.label))
    raw = input_table(cohort.patients, net.features).to_numpy()
    recorded = _recorded(cohort.patients, known)
    roles = _roles(recorded, labels["expansion"])
    predictions = pd.DataFrame(
        {
            "patient_id": labels["patient_id"],
            "role": roles,
            "label": labels["expansion"],
            "probability": net.predict(raw),
        }
    )
    test = predictions[predictions["role"] == "test"]
    outcomes, risks = test["label"].to_numpy(), test["probability"].to_numpy()
    metrics = score_predictions(outcomes, risks, majority=int(trained["majority"]))
    caveats = [caveat for caveat in trained["caveats"] if caveat not in _OF_ITS_EVALUATION]
    if len(test) and metrics["test/auroc"]["value"] is None:
        caveats.append("one_outcome_in_test")
    caveats = ["trained_on_synthetic" if caveat == "synthetic_cohort" else caveat for caveat in caveats]
    if cohort.is_simulated:
        caveats.append("synthetic_cohort")
    unrecognized = "INCOMPLETE: the run's fingerprint.json is missing, training patients may be scored"
    result = {
        "status": "done",
        "verdict": trained["verdict"] if known else unrecognized,
        "caveats": caveats,
        "run_dir": str(run.path.resolve()),
        "config_hash": trained["config_hash"],
        "data_hash": cohort.data_hash,
        "data": {"kind": cfg.data.kind, "root": cfg.data.root, "findings": cohort.findings.counts()},
        "num_patients": len(predictions),
        "num_train": int((predictions["role"] == "train").sum()),
        "num_test": len(test),
        "num_own_test": sum(recorded[row] == "test" for row in test.index),
        "events_test": int(outcomes.sum()),
        "metrics": metrics,
        "comparison": _beside_brain(cohort.patients.iloc[test.index], outcomes, risks, net.model["name"]),
        "calibration": {"test": calibration(outcomes, risks[None])},
        "prevalence_baseline": prevalence_scores(outcomes, trained["events_train"] / trained["num_train"]),
        "seconds": round(time.perf_counter() - started, 2),
    }
    write_csv(predictions, directory / "predictions.csv")
    write_json(directory / "result.json", result)
    _say(result, directory)
    return result


def _known_patients(run: RunDirectory) -> dict[str, str]:
    """Return the role in the run of each patient's keys; empty where the run's fingerprint is missing."""
    path = run.path / "fingerprint.json"
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read as a run's fingerprint: {error}") from None


def _recorded(patients: pd.DataFrame, known: dict[str, str]) -> list[str | None]:
    """Return the role that each patient had in the run, None for who took no part."""
    return [next((known[key] for key in keys if key in known), None) for keys in patient_keys(patients)]


def _roles(recorded: Sequence[str | None], expansion: pd.Series) -> list[str]:
    roles = []
    for earlier, outcome in zip(recorded, expansion, strict=True):
        role = earlier or "test"
        if role != "train":
            role = "unlabelled" if pd.isna(outcome) else "test" if role == "unlabelled" else role
        roles.append(role)
    return roles


def _beside_brain(patients: pd.DataFrame, outcomes: Array, risks: Array, model: str) -> list[dict[str, Any]]:
    """Set the model beside the one baseline that needs no fit, on the patients whose three items are all known."""
    items = input_table(patients, list(_BRAIN.inputs or ())).to_numpy()
    known = np.isfinite(items).all(axis=1)
    if model == _BRAIN.name or not known.any():
        return []
    brain = build_estimator(0, **vars(_BRAIN)).predict_proba(items[known])[:, 1]
    rows = compare({}, outcomes[known], {model: risks[known], _BRAIN.name: brain})
    kept = ("model", "is_model", "test_auroc", "test_auroc_difference")
    return [{**{key: row[key] for key in kept}, "num_patients": int(known.sum())} for row in rows]


def _say(result: dict[str, Any], directory: Path) -> None:
    files = f"{result['num_patients']} patients predicted; files in {directory}"
    if result["num_test"] == 0:
        print(f"no outcome is known of a patient the run did not train on: no scores\n{files}")
        return
    width = interval_width_note(result["metrics"]["test/auroc"], result["num_test"], result["events_test"])
    notes = [*score_notes(result["metrics"], result["prevalence_baseline"], "these patients do"), width]
    notes += calibration_notes("these patients", result["calibration"]["test"])
    own = result["num_own_test"]
    notes.append(f"{result['num_test'] - own} of these patients are new to the run")
    if own:
        notes.append(f"{own} of them are the run's own test part: seen already, no outside test")
    if result["num_train"]:
        notes.append(f"{result['num_train']} patients of the run's own training part are predicted but not scored")
    if min(result["events_test"], result["num_test"] - result["events_test"]) < 100:
        notes.append("fewer than 100 patients of each outcome: too few for a validation")
    notes += caveat_notes(result["verdict"], result["caveats"])
    title = (
        f"{result['verdict']}: {result['num_test']} patients with known outcome, {result['events_test']} with expansion"
    )
    by_chance = {"test": auprc_by_chance(result["events_test"], result["num_test"])}
    print_tested(result["verdict"], result["comparison"])
    print_scores(title, result["metrics"], by_chance, [*notes, files], {"test": "these patients (95 % interval)"})
