"""Evaluation of a run's model, as ``evaluation=standard`` and ``evaluation=full`` define it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hemexp.cohort.labels import label_patients
from hemexp.config import BASELINES, LabelConfig, TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import Interrupted
from hemexp.evaluation.attributions import attributions
from hemexp.evaluation.bootstrap import MIN_OUTCOMES, bootstrap_refits
from hemexp.evaluation.calibration import calibration, smoothed_curve
from hemexp.evaluation.comparison import claim, compare
from hemexp.evaluation.cross_validation import MEASURED, CrossValidated, ScoreCallback, cross_validate
from hemexp.evaluation.decision import decision_curve
from hemexp.evaluation.folds import Fold, evaluated_indices, repeated_folds, training_indices
from hemexp.evaluation.label_sensitivity import label_sensitivity
from hemexp.evaluation.pipeline import Pipeline, build_pipeline
from hemexp.evaluation.sample_size import num_fitted_inputs, sample_size
from hemexp.evaluation.subgroups import get_subgroups, subgroup_scores
from hemexp.evaluation.uncertainty import single_patients
from hemexp.files.result import CalibrationByStage, CrossValidationSummary, EvaluationBlocks, Score
from hemexp.training.fit import fit
from hemexp.types import Array

log = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """The results of the evaluation.

    Attributes:
        metrics: the ``cv/…`` scores for the metrics of result.json.
        blocks: other entries of result.json.
        tables: CSV files of the run directory, by name.
        caveats: codes.
        labels: (P,) of the cross-validated patients.
        probabilities: (R, P) their out-of-fold risks.
        refits: (B, P) their risks from bootstrap refits, and (P,) from the fit to all of them.
    """

    metrics: dict[str, Score] = field(default_factory=dict)
    blocks: EvaluationBlocks = field(default_factory=EvaluationBlocks)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)
    labels: Array | None = None
    probabilities: Array | None = None
    refits: tuple[Array, Array] | None = None


def evaluate(
    cfg: TrainConfig,
    data: ExpansionDataModule,
    risks: Array,
    definitions: Mapping[str, LabelConfig],
    directory: Path | None = None,
    callback: ScoreCallback | None = None,
) -> Evaluation:
    """Cross-validate the pipeline of the run and the baselines, and compute the measures that the config selects.

    With ``evaluation.patients=train`` only the scores of the test part depend on the test part.

    Args:
        cfg: of the run.
        data: after setup.
        risks: of all patients, from the model of the run.
        definitions: definitions of expansion by name, for label sensitivity.
        directory: for the state of groups of networks, from which the same call resumes.
        callback: gets the mean ``search.score`` of the model after every repeat of the cross-validation.

    Shape:
        risks: (N,).

    Raises:
        UserError: a model cannot be fitted to a fold.
        Interrupted: the process got a signal to end.
        Pruned: raised by `callback`.
    """
    result = Evaluation()
    if cfg.evaluation.name == "off":
        return result
    pipeline = build_pipeline(cfg, data)
    baselines = [build_pipeline(cfg, data, model) for model in BASELINES if model != cfg.model]
    indices, training = evaluated_indices(cfg.evaluation, data), training_indices(data)
    directories = {name: directory / name if directory else None for name in ("folds", "training", "refits", "labels")}

    folds = repeated_folds(pipeline.labels, indices, cfg.evaluation.num_folds, cfg.evaluation.num_repeats, cfg.seed)
    validated: dict[str, CrossValidated] = {}  # by name, the model of the run first
    if folds:
        counts = len(folds), len(folds) * len(baselines), len(baselines)
        log.info("cross-validation: %d fits of the model, and %d fits of %d baselines in the same folds", *counts)
        pipelines = [pipeline, *baselines]
        with _stage("cross-validation"):
            results = cross_validate(pipelines, folds, cfg.trainer, directories["folds"], callback, cfg.search.score)
        validated = {each.name: scores for each, scores in zip(pipelines, results, strict=True)}
        _cross_validation(result, cfg, data, validated, indices)
    elif cfg.evaluation.num_repeats:
        result.caveats.append("too_few_events_for_cross_validation")
    _test_part(result, cfg, data, risks, pipeline, baselines, validated)
    _single_patients(result, cfg, data, risks, pipeline, validated.get(pipeline.name), directories["training"])
    result.blocks.sample_size = sample_size(
        len(training), int(pipeline.labels[training].sum()), num_fitted_inputs(cfg.model, pipeline.features)
    )
    if cfg.evaluation.num_refits:
        _refits(result, cfg, data, pipeline, indices, directories["refits"])
    if cfg.evaluation.label_repeats and folds:
        _label_sensitivity(result, cfg, data, definitions, pipeline, baselines, validated, directories["labels"])
    if cfg.evaluation.permutations and folds:
        log.info("attributions in the held-out patients of %d folds", len(folds))
        importance = attributions(pipeline, validated[pipeline.name], cfg.evaluation.permutations)
        if importance is not None:
            result.blocks.attributions, result.tables["attributions"] = importance
    return result


@contextmanager
def _stage(name: str) -> Iterator[None]:
    """Add the stage of the evaluation to the message of an interruption."""
    try:
        yield
    except Interrupted:
        raise Interrupted(f"interrupted in the evaluation ({name}); the training of the model is complete") from None


def _cross_validation(
    result: Evaluation,
    cfg: TrainConfig,
    data: ExpansionDataModule,
    validated: Mapping[str, CrossValidated],
    indices: Sequence[int],
) -> None:
    """Add scores, calibration, subgroups and decision curves from the cross-validation."""
    name, model = next(iter(validated.items()))
    labels, probabilities = model.labels[indices], model.probabilities[:, indices]
    result.labels, result.probabilities = labels, probabilities
    result.metrics = {f"cv/{measure}": model.score(measure) for measure in MEASURED}
    if cfg.evaluation.patients == "train":
        result.caveats.append("cross_validated_within_training")
    if model.num_diverged:
        result.caveats.append("folds_diverged")
    result.blocks.cross_validation = CrossValidationSummary(
        patients=cfg.evaluation.patients,
        num_folds=cfg.evaluation.num_folds,
        num_repeats=cfg.evaluation.num_repeats,
        num_fits=len(model.folds),
        num_patients=len(indices),
        events=int(labels.sum()),
        num_diverged=model.num_diverged,
        auprc_by_chance=model.auprc_by_chance,
    )
    result.blocks.calibration = CalibrationByStage(cv=calibration(labels, probabilities, model.fold_numbers))
    assert data.cohort is not None
    subgroups = get_subgroups(data.cohort.patients.iloc[list(indices)])
    result.blocks.subgroups = subgroup_scores(subgroups, labels, probabilities, model.fold_numbers)
    strategies = {each: validated[each].probabilities[:, indices] for each in dict.fromkeys([name, "ridge2"])}
    scores = [each.scores.assign(model=baseline) for baseline, each in validated.items()]
    result.tables["calibration_curve"] = smoothed_curve(labels, probabilities)
    result.tables["decision_curve"] = decision_curve(labels, strategies)
    result.tables["cv_predictions"] = out_of_fold(validated, data)
    result.tables["cv_scores"] = pd.concat(scores, ignore_index=True)[["model", *model.scores.columns]]


def _test_part(
    result: Evaluation,
    cfg: TrainConfig,
    data: ExpansionDataModule,
    risks: Array,
    pipeline: Pipeline,
    baselines: Sequence[Pipeline],
    validated: Mapping[str, CrossValidated],
) -> None:
    """Fit the baselines to the training part and compare the model with them."""
    test = data.split.indices("test")
    labels = pipeline.labels[test]
    fitted = fit([baseline.member(training_indices(data), cfg.seed) for baseline in baselines], cfg.trainer)
    tested = {pipeline.name: risks[test]}
    for baseline, fit_result in zip(baselines, fitted, strict=True):
        tested[baseline.name] = fit_result.predictor().predict(baseline.raw[test])
    result.blocks.comparison = compare(validated, labels, tested)
    result.blocks.claim = claim(result.blocks.comparison)
    result.blocks.calibration = result.blocks.calibration or CalibrationByStage()
    result.blocks.calibration.test = calibration(labels, risks[test][None])


def _single_patients(
    result: Evaluation,
    cfg: TrainConfig,
    data: ExpansionDataModule,
    risks: Array,
    pipeline: Pipeline,
    validated: CrossValidated | None,
    directory: Path | None,
) -> None:
    """Add thresholds and the uncertainty of single patients, from cross-validation within the training part."""
    evaluation, num_repeats = cfg.evaluation, cfg.evaluation.threshold_repeats
    folds = repeated_folds(pipeline.labels, training_indices(data), evaluation.num_folds, num_repeats, cfg.seed)
    if not folds:
        if num_repeats:
            result.caveats.append("too_few_events_for_thresholds")
        return
    if validated is not None and evaluation.patients == "train" and evaluation.num_repeats >= num_repeats:
        within = validated.first(num_repeats)  # the same folds and seeds are already fitted
    else:
        log.info("thresholds and Venn-Abers pairs: %d fits within the training part", len(folds))
        with _stage("cross-validation within the training part"):
            (within,) = cross_validate([pipeline], folds, cfg.trainer, directory)
    blocks = result.blocks
    blocks.thresholds, blocks.uncertainty, table = single_patients(data, pipeline.labels, risks, within)
    result.tables["uncertainty"] = table


def _refits(
    result: Evaluation,
    cfg: TrainConfig,
    data: ExpansionDataModule,
    pipeline: Pipeline,
    indices: Sequence[int],
    directory: Path | None,
) -> None:
    """Add optimism and instability from bootstrap refits."""
    labels = pipeline.labels[indices].astype(int)
    events = int(labels.sum())
    if min(events, len(indices) - events) < MIN_OUTCOMES:
        result.caveats.append("too_few_events_for_refits")
        return
    num_refits = cfg.evaluation.num_refits
    log.info("optimism and instability: %d refits on bootstrap samples", num_refits)
    threshold = result.blocks.uncertainty.threshold if result.blocks.uncertainty else 0.5
    with _stage("bootstrap refits"):
        refitted = bootstrap_refits(pipeline, indices, num_refits, cfg.seed, cfg.trainer, threshold, directory)
    result.blocks.optimism, result.blocks.instability = refitted.optimism, refitted.instability
    result.refits = (refitted.refits, refitted.risks)
    ids = data.labels[["patient_id"]].iloc[list(indices)].reset_index(drop=True)
    result.tables["instability"] = pd.concat([ids.assign(label=labels), refitted.table], axis=1)


def _label_sensitivity(
    result: Evaluation,
    cfg: TrainConfig,
    data: ExpansionDataModule,
    definitions: Mapping[str, LabelConfig],
    pipeline: Pipeline,
    baselines: Sequence[Pipeline],
    validated: Mapping[str, CrossValidated],
    directory: Path | None,
) -> None:
    """Add the scores under other definitions of expansion."""
    log.info("label sensitivity: %d definitions of expansion", len(definitions))
    assert data.cohort is not None
    scans, num_repeats = data.cohort.scans, cfg.evaluation.label_repeats
    labels = {
        name: (label, label_patients(scans, label)["expansion"].to_numpy(dtype=float))
        for name, label in definitions.items()
    }
    pipelines = [pipeline, *(baseline for baseline in baselines if baseline.name == "ridge2")]
    with _stage("label sensitivity"):
        result.blocks.label_sensitivity = label_sensitivity(
            pipelines,
            labels,
            evaluated_indices(cfg.evaluation, data),
            cfg.evaluation.num_folds,
            num_repeats,
            cfg.seed,
            cfg.trainer,
            [validated[each.name].first(num_repeats) for each in pipelines],
            directory,
        )


def out_of_fold(validated: Mapping[str, CrossValidated], data: ExpansionDataModule) -> pd.DataFrame:
    """Return the table of cv_predictions.csv: a row for each model, repeat and patient."""
    ids, labels = data.labels["patient_id"].to_numpy(), data.labels["expansion"].to_numpy(dtype=float)

    def get_rows(name: str, model: CrossValidated, fold: Fold) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "model": name,
                "repeat": fold.repeat,
                "fold": fold.number,
                "patient_id": ids[fold.test],
                "label": labels[fold.test].astype(int),
                "probability": model.probabilities[fold.repeat, fold.test],
            }
        )

    return pd.concat([get_rows(name, model, fold) for name, model in validated.items() for fold in model.folds])
