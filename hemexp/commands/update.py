"""Update a trained model for another hospital, and validate the update there."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hemexp.cohort.pseudonyms import get_check_value
from hemexp.commands.model_card import TrainedModel, load_trained_model, write_model_folder
from hemexp.commands.new_cohort import check_probabilities, choose_metrics
from hemexp.commands.run_metadata import read_versions, write_cohort
from hemexp.commands.update_patients import NewPatients, find_verdict, read_new_patients
from hemexp.commands.update_plan import plan_update
from hemexp.commands.update_summary import print_update_summary
from hemexp.config import UpdateConfig, config_hash, get_choice_name, list_code
from hemexp.data.recognition import ANCESTORS, RECOGNITION, digest_file
from hemexp.data.split import Split
from hemexp.errors import Interrupted, UserError
from hemexp.evaluation.case_mix import describe_logits
from hemexp.evaluation.centers import divide_by_center, validate_by_center
from hemexp.evaluation.evaluate import Evaluation, add_folds
from hemexp.evaluation.heterogeneity import list_large
from hemexp.evaluation.update_validation import UpdateProcedure, calibrate_update, score_update, validate_update
from hemexp.evaluation.updating import EVENTS_PER_NUMBER, ClosedTest
from hemexp.figures import forest
from hemexp.figures.gallery import evaluation_figures, save_figures
from hemexp.figures.style import house_style
from hemexp.files.result import INCOMPLETE, DataSource, PatientFlow, RunResult, UpdateStep, describe_metrics
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_bytes, write_csv
from hemexp.metrics.table import Metric
from hemexp.models.ensemble import add_recalibration
from hemexp.models.predictor import Predictor, compute_digest, save_predictor
from hemexp.training.fit import fit
from hemexp.types import Array

log = logging.getLogger(__name__)


def update(cfg: UpdateConfig, directory: Path | str) -> RunResult:
    """Update the model of ``cfg.run_dir`` with the new patients of another cohort, and write it as a run.

    The run before the update is only read. A finished update is left as it is; an unfinished one begins again.

    Args:
        cfg: as `hemexp.config.compose.load_config` returns it.
        directory: new, or of an update of the same config.

    Raises:
        UserError: the run, the cohort or the directory cannot be used, or there are too few patients for the method.
    """
    run = RunDirectory(directory)
    if run.open(cfg) == "done":
        log.info("%s: already done; nothing was read or rewritten", run.path)
        return run.result()
    try:
        return _update(cfg, run)
    except BaseException as error:
        is_stop = isinstance(error, Interrupted | KeyboardInterrupt)
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        run.fail("interrupted" if is_stop else "failed", reason)
        raise


def _update(cfg: UpdateConfig, run: RunDirectory) -> RunResult:
    source = Path(str(cfg.run_dir))
    model = load_trained_model(source)
    metrics = choose_metrics(model.card, cfg.metrics)
    new = read_new_patients(cfg, source, model)
    procedure, left_out_methods = plan_update(cfg, model, new)
    choice = procedure.choose(np.arange(len(new.labels)))
    step = _describe_step(cfg, model, new, choice, left_out_methods)
    predictor = _build_updated(cfg, model.predictor, procedure, choice)
    result = replace(_start_result(cfg, model, new, step), own_metrics=describe_metrics(metrics))
    run.begin(result, resume=False)
    cohort, roles, names = new.source.cohort, new.roles, new.all_labels["patient_id"]
    write_cohort(run, cohort, new.all_labels["expansion"], Split(names.tolist(), roles), roles)
    _copy_ancestors(run, source, step, model)
    save_predictor(predictor, run.best)
    save_predictor(predictor, run.last)
    risks, labels = predictor.predict(new.source.raw), new.all_labels["expansion"]
    predictions = pd.DataFrame({"patient_id": names, "role": roles, "label": labels, "probability": risks})
    check_probabilities(predictions, new.source.raw, predictor.features)
    write_csv(predictions, run.path / "predictions.csv")
    result, evaluation = _validate(cfg, procedure, choice, new, risks[new.indices], result, metrics)
    for name, table in evaluation.tables.items():
        write_csv(table, run.path / f"{name}.csv")
    result = replace(
        result,
        verdict=find_verdict(new, result.inputs, model.card.verdict),
        model_digest=compute_digest(predictor.content()),
        recognition_digest=digest_file(run.path),
    )
    save_figures(evaluation_figures(evaluation) | {"comparison": _draw_update(result)}, run.path, result)
    logits = describe_logits(risks[new.indices], "train")
    write_model_folder(run, result, cohort.scans.columns, predictor, new.raw, logits)
    result = run.finish(result)
    print_update_summary(result, run.path)
    return result


def _build_updated(cfg: UpdateConfig, original: Predictor, procedure: UpdateProcedure, choice: ClosedTest) -> Predictor:
    """Return the updated model."""
    if choice.method == "none":
        return original
    if choice.method != "refit":
        return add_recalibration(original, choice.recalibration)
    assert procedure.build_member is not None
    assert procedure.trainer is not None
    (fitted,) = fit([procedure.build_member(np.arange(len(procedure.labels)), cfg.seed)], procedure.trainer)
    if fitted.stopped_by == "diverged":
        raise UserError("method=refit: the training loss is NaN or infinite; give method=intercept_slope")
    return fitted.predictor()


def _draw_update(result: RunResult) -> Figure:
    """Draw the updated model above the original one; without a refit they have the same ranking, and other risks."""
    assert result.update is not None
    updated, original, _ = result.update.comparison
    calibrated = result.calibration.cv if result.calibration else None
    rows = [("updated model", updated.auroc, calibrated)]
    rows.append(("original model", original.auroc, result.update.original_calibration))
    with house_style():
        return forest.validation(rows, "In these patients, cross-validated")


def _describe_step(
    cfg: UpdateConfig, model: TrainedModel, new: NewPatients, choice: ClosedTest, left_out_methods: dict[str, str]
) -> UpdateStep:
    result, source = model.result, Path(str(cfg.run_dir))
    is_known = result is not None and (source / RECOGNITION).is_file()
    return UpdateStep(
        method=choice.method,
        asked_for=cfg.method,
        p_values=choice.p_values,
        left_out_methods=left_out_methods,
        intercept=choice.recalibration[0],
        slope=choice.recalibration[1],
        num_patients=len(new.labels),
        events=new.events,
        left_out_patients=new.left_out,
        run_dir=str(source.resolve()),
        model_digest=compute_digest(model.predictor.content()),
        config_hash=result.config_hash if result else None,
        data_hash=result.data_hash if result else None,
        num_train=model.card.num_train,
        events_train=model.card.events_train,
        recognition_digest=digest_file(source) if is_known else None,
        pseudonym_key=result.pseudonym_key if result else None,
    )


def _start_result(cfg: UpdateConfig, model: TrainedModel, new: NewPatients, step: UpdateStep) -> RunResult:
    """Return what result.json holds before the validation."""
    card, before, cohort, labels = model.card, model.result, new.source.cohort, new.all_labels
    config: dict[str, Any] = {"label": card.label, "features": card.features, "model": card.model, **card.training}
    if before is not None:
        config = before.config
    config = {**config, "split": {**(config.get("split") or {}), "name": "update"}}
    num_patients, events, counts = len(new.labels), new.events, Counter(new.roles)
    reasons = labels.loc[labels["expansion"].isna(), "reason"].value_counts()
    caveats = [*(code for code in card.caveats_elsewhere if code != "centers_differ"), "updated"]
    caveats += ["input_without_values"] * bool(new.without_values)
    caveats += ["synthetic_cohort"] * cohort.is_simulated + ["equal_risks"] * (step.slope == 0)
    if step.method == "refit":
        caveats = [code for code in caveats if code not in {"few_events_per_input", "equal_risks"}]
        few = min(events, num_patients - events) < EVENTS_PER_NUMBER * len(card.inputs)
        caveats += ["few_events_per_input"] * few
    return RunResult(
        caveats=[*dict.fromkeys(caveats)],
        config_hash=config_hash(cfg),
        code=list_code(cfg),
        data_hash=cohort.data_hash,
        data=DataSource(
            kind=cfg.data.kind,
            root=cfg.data.root,
            num_patients=len(labels),
            num_centers=cohort.num_centers,
            findings=cohort.findings.counts(),
        ),
        seed=cfg.seed,
        tags=before.tags if before else [],
        versions=read_versions(),
        label_definition=new.source.label.describe(),
        label_values=model.card.label_values,
        flow=PatientFlow(
            patients=len(labels),
            unlabelled={str(reason): int(count) for reason, count in reasons.items()},
            unused=counts["unused"],
            train=counts["train"],
            val=0,
            test=0,
        ),
        input_group=before.input_group if before else str(card.features.get("name")),
        num_features=len(card.inputs),
        inputs=card.input_names,
        num_train=num_patients,
        num_val=0,
        num_test=0,
        events_train=events,
        events_test=0,
        majority=int(new.labels.mean() > 0.5),
        best_possible_auroc=cohort.best_auroc_under(new.source.label),
        config={**config, **asdict(cfg)},
        pseudonym_key=get_check_value(cfg.privacy.pseudonymize),
        first_weights_digest=before.first_weights_digest if before else None,
        updated_from=[step, *(before.updated_from if before else [])],
        verdict=f"{INCOMPLETE}: running or killed",
    )


def _copy_ancestors(run: RunDirectory, source: Path, step: UpdateStep, model: TrainedModel) -> None:
    """Copy what recognizes the patients of the run before the update, and of the runs before it."""
    if step.recognition_digest is not None:
        write_bytes(run.path / ANCESTORS / "1.csv", (source / RECOGNITION).read_bytes())
    for number, earlier in enumerate(model.result.updated_from if model.result else [], 1):
        path = source / ANCESTORS / f"{number}.csv"
        if earlier.recognition_digest is not None and path.is_file():
            write_bytes(run.path / ANCESTORS / f"{number + 1}.csv", path.read_bytes())


def _validate(
    cfg: UpdateConfig,
    procedure: UpdateProcedure,
    choice: ClosedTest,
    new: NewPatients,
    risks: Array,
    result: RunResult,
    metrics: Sequence[Metric],
) -> tuple[RunResult, Evaluation]:
    """Cross-validate the update, also by center, and return the result with its scores, and tables for the files.

    Args:
        cfg: of the update.
        procedure: of the update.
        choice: by all new patients.
        new: the patients.
        risks: (N,) of the updated model.
        result: without scores.
        metrics: to compute.
    """
    name, evaluation = get_choice_name(result.config.get("model") or {}), Evaluation()
    validation, validated = validate_update(
        procedure, choice, name, cfg.num_folds, cfg.num_repeats, cfg.seed, new.groups, metrics
    )
    add_folds(evaluation, validated, new.table, new.ids, list(validated)[:2])
    blocks = evaluation.blocks
    blocks.calibrated_risk = calibrate_update(choice.method, new.labels, risks, blocks.calibrated_risk)
    rows = range(len(new.labels))
    divided = divide_by_center(new.table, new.labels, rows, cfg.seed, new.groups)
    evaluation.caveats += ["too_few_centers"] * (not divided.folds and len(divided.not_scored) > 1)
    if divided.folds:
        _, in_centers = score_update(procedure, divided.folds, name, metrics)
        models = dict(list(in_centers.items())[:2])
        blocks.by_center, evaluation.tables["centers"] = validate_by_center(divided, models)
        evaluation.caveats += ["centers_differ"] * bool(list_large(blocks.by_center))
    result = replace(
        result,
        **vars(blocks),
        update=validation,
        metrics=evaluation.metrics,
        caveats=[*result.caveats, *evaluation.caveats],
    )
    blocks.comparison = validation.comparison  # for its figure; a run's own comparison is with baselines
    return result, evaluation
