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
from hemexp.cohort.labels import can_label, label_patients, without_label
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.cohort.mapping.mapping import OpenQuestions
from hemexp.cohort.one_patient import Values, get_source
from hemexp.cohort.pseudonyms import get_check_value
from hemexp.commands.console import print_prediction_summary
from hemexp.commands.model_card import load_trained_model
from hemexp.commands.one_patient import describe_values
from hemexp.commands.validation_page import remove_validation, write_validation
from hemexp.config import LabelConfig, PredictConfig, UpdateConfig, build_label, get_choice_name
from hemexp.config.code import find_edits
from hemexp.data.features import as_level, check_mapped_inputs, count_unknown_levels, input_table
from hemexp.data.leaks import find_label_leak, find_leaky_inputs
from hemexp.data.recognition import ID, RECOGNITION, read_own_scans, read_roles, recognize
from hemexp.errors import UserError
from hemexp.evaluation.brain import compare_with_brain
from hemexp.evaluation.calibration import calibration
from hemexp.evaluation.earlier_patients import find_run_ancestors
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
from hemexp.metrics.own import TORCHMETRICS, get_metrics, is_registered
from hemexp.metrics.table import Metric
from hemexp.types import Array

log = logging.getLogger(__name__)


def load_new_cohort(cfg: PredictConfig | UpdateConfig, run: Path) -> Cohort:
    """Read the cohort; where its columns are not clear, name the mapping of the run."""
    try:
        return load_cohort(cfg.data, key_file=cfg.privacy.pseudonymize)
    except OpenQuestions as error:
        mapping = run / "mapping.yaml"
        if cfg.data.mapping is not None or not mapping.is_file():
            raise
        advice = f"or, for a file with the headers of the run, give its mapping: data.mapping={mapping}"
        raise UserError(f"{error}\n  {advice}") from None


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
    cohort = load_new_cohort(cfg, run.path)
    label = build_label(model.card.label)
    labels = without_label(cohort.scans)
    if can_label(cohort.scans, label, cohort.mapping):
        labels = label_patients(cohort.scans, label, cohort.mapping)
    else:
        log.info("the cohort does not hold the outcome (%s): no scores", label.describe())
    check_mapped_inputs(cohort.mapping, predictor.features)
    raw = input_table(cohort.patients, predictor.features).to_numpy()

    def predict_rows(rows: Sequence[Sequence[float]]) -> list[float]:
        found: list[float] = predictor.predict(np.array(rows, dtype=float)).tolist()
        return found

    other_names = model.explain_unrecognized(get_check_value(cfg.privacy.pseudonymize))
    digest = model.result.recognition_digest if model.result else None
    own, unrecognized = recognize_patients(cfg.recognize, run.path, digest, cohort.scans)
    if model.result is not None and cfg.recognize != "off":
        key = get_check_value(cfg.privacy.pseudonymize)
        earlier = find_run_ancestors(run.path, model.result, cohort.scans, key)
        for index, by in earlier.recognized_by.items():
            own.loc[index, ["role", "recognized_by", "run_patient"]] = "train", by, ""
        unrecognized = unrecognized or earlier.unknown
    if other_names:
        own["run_patient"] = ""  # an id beside its pseudonym would give the patient away
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
    computed = _choose_metrics(trained, cfg.metrics)
    metrics = score_predictions(outcomes, risks, trained.majority, metrics=computed)
    if len(own_test) and not no_new:
        scores = score_predictions(
            own_test["label"].to_numpy(), own_test["probability"].to_numpy(), trained.majority, metrics=computed
        )
        metrics |= {key.replace("test/", "own_test/"): score for key, score in scores.items()}
    caveats = trained.caveats_elsewhere + ["own_test_part"] * no_new
    if len(test) and metrics["test/auroc"].value is None:
        caveats.append("one_outcome_in_test")
    if cohort.is_simulated:
        caveats.append("synthetic_cohort")
    comparison, brain_missing_items = compare_with_brain(
        cohort.patients.iloc[test.index], outcomes, risks, get_choice_name(predictor.model)
    )
    unrecognized = other_names or unrecognized
    if unrecognized:
        log.warning("warning: %s", unrecognized)
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
        verdict=f"{INCOMPLETE}: {unrecognized}" if unrecognized and not is_leaky else verdict,
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
    validation.answer = get_wording(result)(write_answer(result, trained, validation, bool(unrecognized)))
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


def _choose_metrics(trained: ModelCard, named: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics to compute: those of the run, and those that ``metrics=`` names.

    The files of a run may come from somebody else. Of the code that they name, only torchmetrics is imported, and what
    the user has named or registered.
    """
    sources, computed = list(named), get_metrics(named)
    for metric in trained.own_metrics:
        if metric.name in {each.name for each in computed}:
            continue
        if metric.source.startswith(TORCHMETRICS) or is_registered(metric.source):
            sources.append(metric.source)
            computed = get_metrics(sources)
        else:
            log.warning(
                "warning: %s, a metric of the run, is not computed: its code is imported only where you name it; add "
                "metrics=[%s] if you trust it", metric.text, ",".join([*named, metric.source])
            )  # fmt: skip
    return computed


def find_new_leak(
    cohort: Cohort, labels: pd.DataFrame, label: LabelConfig, names: Sequence[str], raw: Array
) -> str | None:
    """Return which leak the inputs or the outcome of the new patients have, as `hemexp.evaluation.folds.find_leak`."""
    leaky = find_leaky_inputs(cohort.scans, labels, names, raw)
    for name, each in leaky.items():
        log.warning("warning: the input %s agrees with %s in these patients", name, each.agrees_with)
    if leaky:
        return next(iter(leaky.values())).leak
    return find_label_leak(cohort.scans, labels, label, cohort.mapping) if labels["expansion"].notna().any() else None


def recognize_patients(by: str, run: Path, digest: str | None, scans: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the role of each patient in the run, as `recognize` does, and why patients may not be recognized.

    A run of an earlier version recognizes its patients by their ids alone.
    """
    ids = scans.loc[scans["scan_index"] == 0, "patient_id"].tolist()
    own = read_own_scans(run, digest) if by != "off" else None
    if own is not None:
        by_all = recognize(scans, own)
        by_ids = by_all if by == "measurements" else recognize(scans, own, by_measurements=False)
        number = int(((by_all["role"] != "") & (by_ids["role"] == "")).sum())
        who = "1 patient has" if number == 1 else f"{number} patients have"
        reason = f"recognize=ids: {who} the measurements of patients of the run, and may be scored as new"
        return by_ids, reason if number else ""
    roles = read_roles(run) if by != "off" else {}
    rows = [(roles[name], ID, name) if name in roles else ("", "", "") for name in ids]
    table = pd.DataFrame(rows, columns=["role", "recognized_by", "run_patient"])
    if by == "off":
        return table, "recognize=off: training patients may be scored"
    how = "its patients are recognized by their ids alone" if roles else "its patients are not recognized"
    return table, f"the run has no {RECOGNITION}: {how}, and training patients may be scored"


def _assign_roles(own: "pd.Series[str]", expansion: "pd.Series[float]") -> "pd.Series[str]":
    roles = own.replace({"": "test", "unlabelled": "test"})
    return roles.mask(expansion.isna() & (roles != "train"), "unlabelled")


def check_probabilities(predictions: pd.DataFrame, raw: Array, features: Sequence[str]) -> None:
    """Refuse predictions that are not probabilities.

    Raises:
        UserError: names the first patient, and the inputs whose values are not finite or are the largest.
    """
    risks = predictions["probability"].to_numpy()
    wrong = np.flatnonzero(~((risks >= 0) & (risks <= 1)))
    if not len(wrong):
        return
    row = raw[wrong[0]]
    suspects = np.flatnonzero(np.isinf(row))
    suspects = suspects if len(suspects) else np.argsort(-np.nan_to_num(np.abs(row)))[:3]
    values = ", ".join(f"{features[i]}={row[i]:g}" for i in suspects.tolist())
    more = f" (and {len(wrong) - 1} more patients)" if len(wrong) > 1 else ""
    raise UserError(
        f"patient {predictions['patient_id'].iloc[wrong[0]]}{more}: the model gives {risks[wrong[0]]:g}, not a "
        f"probability; largest inputs: {values or 'none'}; rule: 0 to 1; check these values and the model"
    )


def _count_missing(features: Sequence[str], raw: Array) -> dict[str, int]:
    """Return the inputs with gaps and the number of patients without a value."""
    counts = zip(features, np.isnan(raw).sum(axis=0).tolist(), strict=True)
    return {name: count for name, count in counts if count}
