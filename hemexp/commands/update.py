"""Update a trained model for another hospital, and validate the update there."""

import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.labels import can_label, label_patients
from hemexp.cohort.load import Cohort
from hemexp.cohort.pseudonyms import get_check_value
from hemexp.commands.model_card import TrainedModel, load_trained_model, write_model_folder
from hemexp.commands.predict import (
    check_probabilities,
    find_new_leak,
    load_new_cohort,
    recognize_patients,
)
from hemexp.commands.refit import plan_refit
from hemexp.commands.run_metadata import read_versions, write_cohort
from hemexp.commands.update_summary import print_update_summary
from hemexp.config import LabelConfig, UpdateConfig, build_label, config_hash, get_choice_name, list_code
from hemexp.data.features import check_mapped_inputs, input_table
from hemexp.data.recognition import ANCESTORS, RECOGNITION, digest_file
from hemexp.data.split import Split
from hemexp.errors import Interrupted, UserError
from hemexp.evaluation.calibration import calibration, smoothed_curve
from hemexp.evaluation.earlier_patients import find_run_ancestors
from hemexp.evaluation.evaluate import out_of_fold
from hemexp.evaluation.update_validation import UpdateProcedure, validate_update
from hemexp.evaluation.updating import EVENTS_PER_NUMBER, ClosedTest, list_possible
from hemexp.files.result import (
    FOLLOW_UP_COUNTS,
    FOLLOW_UP_VALUES,
    INCOMPLETE,
    LEAKAGE,
    NO_FOLLOW_UP,
    NO_LEAKAGE,
    OUTCOME_INPUTS,
    SAME_PATIENT,
    CalibrationByStage,
    CrossValidationSummary,
    DataSource,
    PatientFlow,
    RunResult,
    UpdateStep,
)
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_bytes, write_csv
from hemexp.formatting import plural
from hemexp.models.ensemble import FittedEnsemble, add_recalibration
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.linear import Linear
from hemexp.models.predictor import Predictor, compute_digest, save_predictor
from hemexp.training.fit import fit
from hemexp.types import Array

log = logging.getLogger(__name__)

_OF_INPUTS = (OUTCOME_INPUTS, FOLLOW_UP_VALUES, FOLLOW_UP_COUNTS, NO_FOLLOW_UP)  # leaks that an update keeps


@dataclass(frozen=True, eq=False)
class _NewCohort:
    """The patients of the other hospital.

    Attributes:
        cohort: the checked tables.
        label: the outcome of the model.
        labels: as `label_patients` returns them.
        raw: (N, F) inputs of the model.
        new: table positions of the new patients with a known outcome.
        left_out: patients with a known outcome who are of an earlier cohort of the model, by their role there.
        unrecognized: why more of them may be there; empty where there are none.
    """

    cohort: Cohort
    label: LabelConfig
    labels: pd.DataFrame
    raw: Array
    new: Array
    left_out: dict[str, int]
    unrecognized: str

    @property
    def outcomes(self) -> Array:
        return self.labels["expansion"].to_numpy(dtype=float)[self.new]


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
    new = _read_new_patients(cfg, source, model)
    procedure, left_out_methods = _plan(cfg, model, new)
    everyone = np.arange(len(new.new))
    choice = procedure.choose(everyone)
    step = _describe_step(cfg, model, new, choice, left_out_methods)
    predictor = _build_updated(cfg, model.predictor, procedure, choice, everyone)
    roles = new.labels["expansion"].map({0.0: "unused", 1.0: "unused"}).fillna("unlabelled")
    roles.iloc[new.new] = "train"
    result = _start_result(cfg, model, new, step, roles)
    run.begin(result, resume=False)
    write_cohort(
        run, new.cohort, new.labels["expansion"], Split(new.labels["patient_id"].tolist(), roles.tolist()),
        roles.tolist(),
    )  # fmt: skip
    _copy_ancestors(run, source, step, model)
    save_predictor(predictor, run.best)
    save_predictor(predictor, run.last)
    probabilities = predictor.predict(new.raw)
    predictions = new.labels[["patient_id"]].assign(
        role=roles, label=new.labels["expansion"], probability=probabilities
    )
    check_probabilities(predictions, new.raw, predictor.features)
    write_csv(predictions, run.path / "predictions.csv")
    result = replace(
        _validate(cfg, run, procedure, choice, new, result),
        verdict=_find_verdict(new, result.inputs, model.card.verdict),
        model_digest=compute_digest(predictor.content()),
        recognition_digest=digest_file(run.path),
    )
    write_model_folder(run, result, new.cohort.scans.columns, predictor, new.raw[new.new])
    result = run.finish(result)
    print_update_summary(result, run.path)
    return result


def _read_new_patients(cfg: UpdateConfig, source: Path, model: TrainedModel) -> _NewCohort:
    """Read the cohort, and find the patients who are new to the model and have a known outcome.

    Raises:
        UserError: the cohort does not hold the outcome, or no patient is new.
    """
    cohort, label, features = load_new_cohort(cfg, source), build_label(model.card.label), model.predictor.features
    if not can_label(cohort.scans, label, cohort.mapping):
        raise UserError(
            f"data.root={cfg.data.root}: does not hold the outcome of the model ({label.describe()}); rule: an update "
            "needs known outcomes; predict.py predicts without them"
        )
    labels = label_patients(cohort.scans, label, cohort.mapping)
    check_mapped_inputs(cohort.mapping, features)
    raw = input_table(cohort.patients, features).to_numpy()
    key = get_check_value(cfg.privacy.pseudonymize)
    unknown = model.explain_unrecognized(key)
    digest = model.result.recognition_digest if model.result else None
    own, unrecognized = recognize_patients(cfg.recognize, source, digest, cohort.scans)
    roles = own["role"].replace("unlabelled", "")  # whose outcome was not known then
    if model.result is not None and cfg.recognize != "off":
        earlier = find_run_ancestors(source, model.result, cohort.scans, key)
        roles.loc[list(earlier.recognized_by)] = "train"
        unrecognized = unrecognized or earlier.unknown
    known = labels["expansion"].notna()
    new = np.flatnonzero(known & (roles == ""))
    left_out = {str(role): int(count) for role, count in roles[known & (roles != "")].value_counts().items()}
    text = ", ".join(f"{count} {role}" for role, count in left_out.items())
    if not len(new):
        raise UserError(
            f"data.root={cfg.data.root}: no new patient has a known outcome: {int(known.sum())} patients have one, all "
            f"of them of the run ({text or 'none'}); rule: a model is updated with patients of another hospital"
        )
    found = _NewCohort(cohort, label, labels, raw, new, left_out, unknown or unrecognized)
    events, left = int(found.outcomes.sum()), sum(left_out.values())
    log.info("%d new patients, %d with the outcome (%s)", len(new), events, label.describe())
    if left:
        log.info("left out: %s of an earlier cohort of the model (%s)", plural(left, "patient"), text)
    if found.unrecognized:
        log.warning("warning: %s", found.unrecognized)
    return found


def _plan(cfg: UpdateConfig, model: TrainedModel, new: _NewCohort) -> tuple[UpdateProcedure, dict[str, str]]:
    """Return the steps of the update, and the methods that cannot be chosen, with the reason.

    Raises:
        UserError: there are too few patients of the rarer outcome for the method, or for the folds.
    """
    raw, labels = new.raw[new.new], new.outcomes
    rarer = int(min(labels.sum(), (1 - labels).sum()))
    logistic = _find_logistic(model.predictor)
    methods, left_out = list_possible(rarer, len(model.predictor.features) + 1 if logistic else None)
    counts = f"{len(labels)} new patients, {int(labels.sum())} with the outcome"
    if rarer < cfg.num_folds:
        raise UserError(
            f"num_folds={cfg.num_folds}: too many folds; rule: each fold holds both outcomes; there are {counts}; give "
            f"{'at most ' + str(rarer) if rarer > 1 else 'a cohort with more of them'}"
        )
    needed = "intercept" if cfg.method == "auto" else cfg.method
    is_refit = cfg.method == "refit" and logistic is None
    if rarer < EVENTS_PER_NUMBER and is_refit:
        left_out["refit"] = f"needs {EVENTS_PER_NUMBER} patients of the rarer outcome; there are {rarer}"
    elif is_refit:
        left_out.pop("refit")
    if needed in left_out:
        possible = [method for method in methods if method != needed]
        raise UserError(
            f"method={cfg.method}: {needed} {left_out[needed]} ({counts}); give method={' or method='.join(possible)}, "
            "or wait for more patients"
        )
    if cfg.method == "auto":
        for method, reason in left_out.items():
            log.info("%s is not a choice: %s", method, reason)
    else:
        methods, left_out = (cfg.method,), {}
    risks = model.predictor.predict(raw)
    check_probabilities(
        pd.DataFrame({"patient_id": new.labels["patient_id"].iloc[new.new], "probability": risks}), raw,
        model.predictor.features,
    )  # fmt: skip
    inputs = logistic.inputs(raw) if logistic and cfg.method == "auto" else None
    refit = plan_refit(model, raw, labels) if "refit" in methods else (None, None)
    return UpdateProcedure(labels, raw, risks, methods, inputs, *refit), left_out


def _find_logistic(predictor: Predictor) -> FittedEstimator | None:
    """Return the logistic regression without penalty that a model consists of; None for every other model."""
    members = predictor.members if isinstance(predictor, FittedEnsemble) else [predictor]
    first = members[0]
    if len(members) > 1 or not isinstance(first, FittedEstimator) or not isinstance(first.estimator, Linear):
        return None
    return None if first.estimator.has_penalty else first


def _build_updated(
    cfg: UpdateConfig, original: Predictor, procedure: UpdateProcedure, choice: ClosedTest, everyone: Array
) -> Predictor:
    """Return the updated model."""
    if choice.method == "none":
        return original
    if choice.method != "refit":
        return add_recalibration(original, choice.recalibration)
    assert procedure.build_member is not None
    assert procedure.trainer is not None
    (fitted,) = fit([procedure.build_member(everyone, cfg.seed)], procedure.trainer)
    if fitted.stopped_by == "diverged":
        raise UserError("method=refit: the training loss is NaN or infinite; give method=intercept_slope")
    return fitted.predictor()


def _describe_step(
    cfg: UpdateConfig, model: TrainedModel, new: _NewCohort, choice: ClosedTest, left_out_methods: dict[str, str]
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
        num_patients=len(new.new),
        events=int(new.outcomes.sum()),
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


def _start_result(
    cfg: UpdateConfig, model: TrainedModel, new: _NewCohort, step: UpdateStep, roles: "pd.Series[str]"
) -> RunResult:
    """Return what result.json holds before the validation."""
    card, before, outcomes = model.card, model.result, new.outcomes
    config: dict[str, Any] = {"label": card.label, "features": card.features, "model": card.model, **card.training}
    if before is not None:
        config = before.config
    config = {**config, "split": {**(config.get("split") or {}), "name": "update"}}
    events, counts = int(outcomes.sum()), Counter(roles)
    reasons = new.labels.loc[new.labels["expansion"].isna(), "reason"].value_counts()
    caveats = [*dict.fromkeys([*card.caveats_elsewhere, "updated"])]
    caveats += ["synthetic_cohort"] * new.cohort.is_simulated + ["equal_risks"] * (step.slope == 0)
    if step.method == "refit":
        caveats = [code for code in caveats if code not in {"few_events_per_input", "equal_risks"}]
        few = min(events, len(outcomes) - events) < EVENTS_PER_NUMBER * len(card.inputs)
        caveats += ["few_events_per_input"] * few
    return RunResult(
        caveats=[*dict.fromkeys(caveats)],
        config_hash=config_hash(cfg),
        code=list_code(cfg),
        data_hash=new.cohort.data_hash,
        data=DataSource(
            kind=cfg.data.kind, root=cfg.data.root, num_patients=len(roles), findings=new.cohort.findings.counts()
        ),
        seed=cfg.seed,
        tags=before.tags if before else [],
        versions=read_versions(),
        label_definition=new.label.describe(),
        flow=PatientFlow(
            patients=len(roles),
            unlabelled={str(reason): int(count) for reason, count in reasons.items()},
            unused=counts["unused"],
            train=counts["train"],
            val=0,
            test=0,
        ),
        input_group=before.input_group if before else str(card.features.get("name")),
        num_features=len(card.inputs),
        inputs=card.input_names,
        num_train=len(outcomes),
        num_val=0,
        num_test=0,
        events_train=events,
        events_test=0,
        majority=int(outcomes.mean() > 0.5),
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
    run: RunDirectory,
    procedure: UpdateProcedure,
    choice: ClosedTest,
    new: _NewCohort,
    result: RunResult,
) -> RunResult:
    """Cross-validate the update, write its tables, and return the result with scores and verdict."""
    name = get_choice_name(result.config.get("model") or {})
    validation, validated = validate_update(procedure, choice, name, cfg.num_folds, cfg.num_repeats, cfg.seed)
    updated = next(iter(validated.values()))
    ids = new.labels["patient_id"].to_numpy()[new.new]
    scores = pd.concat([each.scores.assign(model=name) for name, each in validated.items()])
    write_csv(scores[["model", *(column for column in scores if column != "model")]], run.path / "cv_scores.csv")
    write_csv(out_of_fold(validated, ids), run.path / "cv_predictions.csv")
    write_csv(smoothed_curve(updated.labels, updated.probabilities), run.path / "calibration_curve.csv")
    return replace(
        result,
        update=validation,
        metrics=updated.score_all(),
        calibration=CalibrationByStage(cv=calibration(updated.labels, updated.probabilities, updated.fold_numbers)),
        cross_validation=CrossValidationSummary(
            patients="labelled",
            num_folds=cfg.num_folds,
            num_repeats=cfg.num_repeats,
            num_fits=cfg.num_folds * cfg.num_repeats,
            num_patients=len(updated.labels),
            events=int(updated.labels.sum()),
            num_diverged=0,
            auprc_by_chance=updated.auprc_by_chance,
        ),
    )


def _find_verdict(new: _NewCohort, names: list[str], before: str) -> str:
    """Return the verdict: leaks of the inputs and of the new patients; leaks into the earlier test part do not count.

    Args:
        new: the patients.
        names: of the inputs.
        before: the verdict of the model.
    """
    used = set(new.new.tolist())
    if any(set(pair) <= used for pair in new.cohort.same_patients):
        return f"{LEAKAGE}: {SAME_PATIENT}"
    if before.removeprefix(f"{LEAKAGE}: ") in _OF_INPUTS:
        return before
    if leak := find_new_leak(new.cohort, new.labels, new.label, names, new.raw):
        return f"{LEAKAGE}: {leak}"
    if new.unrecognized:
        return f"{INCOMPLETE}: {new.unrecognized}"
    return before if before.startswith(INCOMPLETE) else NO_LEAKAGE
