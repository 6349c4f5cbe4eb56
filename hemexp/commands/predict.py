"""Predict the risk of every patient of a cohort, with a finished run and raw files."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.cohort.find_column import list_columns
from hemexp.cohort.labels import without_label
from hemexp.cohort.one_patient import Values, get_source
from hemexp.commands.console import print_prediction_summary
from hemexp.commands.model_card import load_trained_model
from hemexp.commands.new_cohort import check_probabilities, choose_metrics, find_new_leak, read_new_cohort
from hemexp.commands.one_patient import describe_values
from hemexp.commands.validation_page import remove_validation, write_validation
from hemexp.config import PredictConfig, get_choice_name
from hemexp.config.code import find_edits
from hemexp.data.features import as_level, count_unknown_levels
from hemexp.errors import UserError
from hemexp.evaluation.brain import compare_with_brain
from hemexp.evaluation.calibration import calibration
from hemexp.evaluation.metrics import prevalence_scores, score_predictions
from hemexp.evaluation.validation import has_leak, validate
from hemexp.evaluation.validation_answer import write_answer
from hemexp.files.model_folder import ModelCard
from hemexp.files.one_patient import PATIENT, write_patient
from hemexp.files.result import (
    INCOMPLETE,
    LEAKAGE,
    RESULT,
    CalibrationByStage,
    DataSource,
    PredictionResult,
    describe_metrics,
    get_wording,
    write_result,
)
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import remove, write_csv
from hemexp.types import Array

log = logging.getLogger(__name__)


def predict(cfg: PredictConfig, directory: Path | str) -> PredictionResult:
    """Write ``predictions.csv``, ``result.json`` and a page about the model in these patients; the run is only read.

    Patients of the run are recognized, also under another id. Those of its training part get a probability and the role
    ``train``, and are never scored; patients that were ``unused`` keep this role. New patients with a known outcome, by
    the label definition of the run, are scored. The run's own test part is scored beside them, or where no new patient
    can be scored.

    Raises:
        UserError: the result, the checkpoint or the patients of the run, or the cohort, cannot be used.
    """
    started = time.perf_counter()
    if cfg.patient:
        raise UserError("patient: is one patient; in Python, call hemexp.predict_patient(cfg, directory)")
    directory, run = Path(directory), RunDirectory(str(cfg.run_dir))
    # of an earlier call: old and new must not be mixed
    remove(directory / RESULT, directory / "predictions.csv", directory / PATIENT)
    remove_validation(directory)
    model = load_trained_model(run.path)
    trained, predictor = model.card, model.predictor
    if model.result and (edits := find_edits(model.result.code)):
        log.warning("warning: %s after the training; the risks of made-up patients are as before", edits)
    new = read_new_cohort(cfg, run.path, model)
    cohort, label, labels, raw, own = new.cohort, new.label, new.labels, new.raw, new.own
    if labels is None:
        log.info("the cohort does not hold the outcome (%s): no scores", label.describe())
        labels = without_label(cohort.scans)

    def predict_rows(rows: Sequence[Sequence[float]]) -> list[float]:
        found: list[float] = predictor.predict(np.array(rows, dtype=float)).tolist()
        return found

    predictions = pd.DataFrame(
        {
            "patient_id": labels["patient_id"],
            "role": _assign_roles(own["role"], labels["expansion"]),
            "label": labels["expansion"],
            "probability": predictor.predict(raw),
            "recognized_by": own["recognized_by"],
            "run_patient": own["run_patient"],
        }
    )
    check_probabilities(predictions, raw, predictor.features)
    predictions = predictions.join(_describe_rows(trained, raw, predictions["probability"]))
    is_own_test = own["role"] == "test"
    own_test = predictions[(predictions["role"] == "test") & is_own_test]
    test = predictions[(predictions["role"] == "test") & ~is_own_test]
    no_new = test.empty and not own_test.empty
    if no_new:
        test = own_test
    outcomes, risks = test["label"].to_numpy(), test["probability"].to_numpy()
    computed = choose_metrics(trained, cfg.metrics)
    metrics = score_predictions(outcomes, risks, trained.majority, metrics=computed)
    if len(own_test) and not no_new:
        scores = score_predictions(
            own_test["label"].to_numpy(), own_test["probability"].to_numpy(), trained.majority, metrics=computed
        )
        metrics |= {key.replace("test/", "own_test/"): score for key, score in scores.items()}
    caveats = trained.caveats_elsewhere + ["own_test_part"] * no_new
    if len(test) and metrics["test/auroc"].value is None:
        caveats.append("one_outcome_in_test")
    if any({*pair} <= {*test.index} for pair in cohort.same_patients):
        caveats.append("one_person_twice")
    if cohort.is_simulated:
        caveats.append("synthetic_cohort")
    comparison, brain_missing_items = compare_with_brain(
        cohort.patients.iloc[test.index], outcomes, risks, get_choice_name(predictor.model)
    )
    verdict = trained.verdict
    if not has_leak(verdict) and (leak := find_new_leak(cohort, labels, label, predictor.features, raw)):
        verdict = f"{LEAKAGE}: {leak}"
    is_leaky = verdict.startswith(LEAKAGE)  # says more than INCOMPLETE
    in_large = calibration(outcomes, risks[None])
    unknown = predictions.index[(predictions["role"] == "unlabelled") & own["role"].isin(["", "unlabelled"])]
    described = (test.index if len(test) else unknown).to_numpy()
    validation = validate(
        trained, outcomes, risks, raw[described], predictions["probability"].to_numpy()[described], len(unknown),
        metrics["test/auroc"], in_large,
    )  # fmt: skip
    result = PredictionResult(
        conclusion=trained.conclusion,
        verdict=f"{INCOMPLETE}: {new.unrecognized}" if new.unrecognized and not is_leaky else verdict,
        caveats=caveats,
        run_dir=str(run.path.resolve()),
        config_hash=model.result.config_hash if model.result else None,
        data_hash=cohort.data_hash,
        data=DataSource(
            kind=cfg.data.kind, root=cfg.data.root, num_patients=len(predictions), findings=cohort.findings.counts()
        ),
        num_patients=len(predictions),
        num_train=int((predictions["role"] == "train").sum()),
        num_test=len(test),
        num_own_test=len(own_test),
        events_test=int(outcomes.sum()),
        events_own_test=int(own_test["label"].sum()),
        recognized={str(by): int(number) for by, number in own["recognized_by"].value_counts().items() if by},
        metrics=metrics,
        own_metrics=describe_metrics(computed),
        comparison=comparison,
        brain_missing_items=brain_missing_items,
        missing_inputs=_count_missing(predictor.features, raw),
        unknown_levels=count_unknown_levels(cohort.patients, predictor.features),
        calibration=CalibrationByStage(test=in_large),
        prevalence_baseline=prevalence_scores(outcomes, trained.events_train / trained.num_train),
        validation=validation,
        seconds=round(time.perf_counter() - started, 2),
    )
    validation.answer = get_wording(result)(write_answer(result, trained, validation, bool(new.unrecognized)))
    write_csv(predictions, directory / "predictions.csv")
    write_result(result, directory / RESULT)
    write_validation(result, trained, outcomes, risks, predictions["patient_id"].tolist(), directory)
    if len(predictions) == 1:
        card = replace(trained, verdict=result.verdict)
        one = describe_values(card, run.path, _get_values(card, cohort.patients), predict_rows)
        if result.num_train:
            one.text.insert(0, "This patient is of the run's own training part: the risk is not that of a new patient.")
        write_patient(one, directory)
        print("\n".join([*one.text, f"files in {directory}"]))
    if len(predictions) != 1 or result.num_test:
        print_prediction_summary(result, directory)
    return result


def _describe_rows(card: ModelCard, raw: Array, risks: "pd.Series[float]") -> pd.DataFrame:
    """Return the columns of predictions.csv that say how far the risk of each patient can be trusted."""
    known = card.calibrated_risk
    calibrated = [known.interval(risk) if known else (risk, None, None) for risk in risks]
    columns = [get_source(each.name, each.kind) for each in card.inputs]
    outside = [
        np.broadcast_to(each.is_outside(values), len(raw)) for each, values in zip(card.inputs, raw.T, strict=True)
    ]

    @cache
    def get_names(found: bytes) -> str:
        marked = np.frombuffer(found, dtype=bool)
        return list_columns(
            dict.fromkeys(name for name, is_marked in zip(columns, marked, strict=True) if is_marked), empty=""
        )

    return pd.DataFrame(
        {
            "risk_percent": [round(100 * risk, 1) for risk, _, _ in calibrated],
            "calibrated_low": [low for _, low, _ in calibrated],
            "calibrated_high": [high for _, _, high in calibrated],
            "inputs_missing": [get_names(row.tobytes()) for row in np.isnan(raw)],
            "outside_range": [
                get_names(row.tobytes()) for row in np.array(outside, dtype=bool).reshape(-1, len(raw)).T
            ],
        },
        index=risks.index,
    )


def _get_values(card: ModelCard, patients: pd.DataFrame) -> Values:
    """Return the values of the first patient by column; a text is the level of a text column."""
    first = patients.iloc[0]
    kinds = {get_source(each.name, each.kind): each.kind for each in card.inputs}
    values = {column: first.get(column, np.nan) for column in kinds}
    return {
        column: float("nan") if pd.isna(value) else as_level(value) if kinds[column] == "level" else float(value)
        for column, value in values.items()
    }


def _assign_roles(own: "pd.Series[str]", expansion: "pd.Series[float]") -> "pd.Series[str]":
    roles = own.replace({"": "test", "unlabelled": "test"})
    return roles.mask(expansion.isna() & (roles != "train"), "unlabelled")


def _count_missing(features: Sequence[str], raw: Array) -> dict[str, int]:
    """Return the inputs with gaps and the number of patients without a value."""
    counts = zip(features, np.isnan(raw).sum(axis=0).tolist(), strict=True)
    return {name: count for name, count in counts if count}
