"""Probabilities for every patient of a cohort, from a finished run and raw files."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.cohort import load_cohort
from hemexp.cohort.labels import label_patients
from hemexp.config import LabelConfig, PredictConfig
from hemexp.errors import UserError
from hemexp.evaluation.calibration import calibration
from hemexp.evaluation.scores import prevalence_scores, score_predictions
from hemexp.features import input_table
from hemexp.files import write_csv, write_json
from hemexp.predictor import load_predictor
from hemexp.run_directory import RunDirectory
from hemexp.split import patient_keys
from hemexp.summary import explain, judge, print_scores, say_calibration, say_width

log = logging.getLogger(__name__)


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
    predictions = pd.DataFrame(
        {
            "patient_id": labels["patient_id"],
            "role": _roles(cohort.patients, labels["expansion"], known),
            "label": labels["expansion"],
            "probability": net.predict(raw),
        }
    )
    test = predictions[predictions["role"] == "test"]
    outcomes, risks = test["label"].to_numpy(), test["probability"].to_numpy()
    metrics = score_predictions(outcomes, risks, majority=int(trained["majority"]))
    caveats = [caveat for caveat in trained["caveats"] if caveat != "one_outcome_in_test"]
    if metrics["test/auroc"]["value"] is None:
        caveats.append("one_outcome_in_test")
    if (cfg.data.kind == "synthetic" or cohort.is_simulated) and "synthetic_cohort" not in caveats:
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
        "events_test": int(outcomes.sum()),
        "metrics": metrics,
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


def _roles(patients: pd.DataFrame, expansion: pd.Series, known: dict[str, str]) -> list[str]:
    roles = []
    for keys, outcome in zip(patient_keys(patients), expansion, strict=True):
        role = next((known[key] for key in keys if key in known), "test")
        if role != "train":
            role = "unlabelled" if pd.isna(outcome) else "test" if role == "unlabelled" else role
        roles.append(role)
    return roles


def _say(result: dict[str, Any], directory: Path) -> None:
    files = f"{result['num_patients']} patients predicted; files in {directory}"
    if result["num_test"] == 0:
        print(f"no outcome is known of a patient the run did not train on: no scores\n{files}")
        return
    width = say_width(result["metrics"]["test/auroc"], result["num_test"], result["events_test"])
    notes = [*judge(result["metrics"], result["prevalence_baseline"]), width]
    notes += say_calibration("these patients", result["calibration"]["test"])
    if result["num_train"]:
        notes.append(f"{result['num_train']} patients of the run's own training part are predicted but not scored")
    if min(result["events_test"], result["num_test"] - result["events_test"]) < 100:
        notes.append("fewer than 100 patients of each outcome: too few for a validation")
    notes += explain(result["verdict"], result["caveats"])
    title = (
        f"{result['verdict']}: {result['num_test']} patients with known outcome, {result['events_test']} with expansion"
    )
    print_scores(title, result["metrics"], [*notes, files])
