"""Evaluation of a run's model, as ``evaluation=standard`` and ``evaluation=full`` define it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pandas as pd

from hemexp.cohort.find_column import describe_left_out
from hemexp.config import LabelConfig, TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import Interrupted
from hemexp.evaluation.attributions import attributions
from hemexp.evaluation.bootstrap import bootstrap_refits
from hemexp.evaluation.calibration import calibrated_risk, calibration, smoothed_curve
from hemexp.evaluation.centers import validate_by_center
from hemexp.evaluation.comparison import claim, compare
from hemexp.evaluation.cross_validation import CrossValidated, ScoreCallback, fit_by_repeat, score_folds
from hemexp.evaluation.decision import decision_curve
from hemexp.evaluation.folds import Fold
from hemexp.evaluation.heterogeneity import list_large
from hemexp.evaluation.label_sensitivity import label_sensitivity
from hemexp.evaluation.plan import EvaluationPlan
from hemexp.evaluation.sample_size import num_fitted_inputs, sample_size
from hemexp.evaluation.subgroups import get_subgroups, subgroup_scores
from hemexp.evaluation.uncertainty import single_patients
from hemexp.files.result import CalibrationByStage, CrossValidationSummary, EvaluationBlocks, Score
from hemexp.models.baselines import list_missing_items
from hemexp.training.fit_store import FitStore, fit_missing
from hemexp.training.member import FitResult
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
    trained: FitStore | None = None,
) -> Evaluation:
    """Cross-validate the pipeline of the run and the baselines, and compute the measures that the config selects.

    With ``evaluation.patients=train`` only the scores of the test part depend on the test part.

    Args:
        cfg: of the run.
        data: after setup.
        risks: of all patients, from the model of the run.
        definitions: definitions of the outcome by name, for label sensitivity.
        directory: for the state of groups of networks, from which the same call resumes.
        callback: gets the mean ``search.score`` of the model after every repeat of the cross-validation.
        trained: fits that were trained elsewhere.

    Shape:
        risks: (N,).

    Raises:
        UserError: a model cannot be fitted to a fold.
        Interrupted: the process got a signal to end.
        Pruned: raised by `callback`.
    """
    if cfg.evaluation.name == "off":
        return Evaluation()
    plan, fits = EvaluationPlan(cfg, data, definitions), dict[str, list[FitResult]]()
    _log_plan(plan)
    try:
        if callback is not None and plan.folds:
            fits["folds"] = fit_by_repeat(plan.pipeline, plan.folds, cfg.trainer, callback, cfg.search.score, directory)
        stages = {name: planned for name, planned in plan.fits.items() if name not in fits}
        members = [each.member() for planned in stages.values() for each in planned]
        results = iter(fit_missing(members, cfg.trainer, trained, directory=directory))
        fits |= {name: list(islice(results, len(planned))) for name, planned in stages.items()}
    except Interrupted:
        raise Interrupted("interrupted in the evaluation; the training of the model is complete") from None
    return _Stages(plan, risks, fits).run()


def _log_plan(plan: EvaluationPlan) -> None:
    if plan.left_out:
        log.info("baselines left out: %s", describe_left_out(plan.left_out))
    counts = {name: len(planned) for name, planned in plan.fits.items()}
    texts = {
        "folds": "cross-validation: %d fits of the model",
        "baselines": f"cross-validation: %d fits of {len(plan.baselines)} baselines in the same folds",
        "centers": "internal-external cross-validation: %d fits of the model, each without one center",
        "training": "thresholds and Venn-Abers pairs: %d fits within the training part",
        "refits": "optimism and instability: %d refits on bootstrap samples",
        "labels": f"label sensitivity: %d fits of the model under {len(plan.labels)} definitions of the outcome",
    }
    for name, text in texts.items():
        if counts[name]:
            log.info(text, counts[name])


class _Stages:
    """The stages of the evaluation of one run.

    Attributes:
        result: all that the stages have found so far.
        validated: the cross-validated models by name, the model of the run first; empty before the cross-validation.
    """

    def __init__(self, plan: EvaluationPlan, risks: Array, fits: Mapping[str, list[FitResult]]) -> None:
        assert plan.data.cohort is not None
        self.result = Evaluation()
        self.plan, self.risks, self.fits = plan, risks, fits
        self.cfg, self.data, self.settings = plan.cfg, plan.data, plan.cfg.evaluation
        self.cohort, self.pipeline, self.baselines = plan.data.cohort, plan.pipeline, plan.baselines
        self.result.blocks.left_out_baselines = plan.left_out
        brain = next((each for each in [self.pipeline, *self.baselines] if each.model.name == "brain"), None)
        if brain is not None:
            self.result.blocks.brain_missing_items = list_missing_items(brain.features)
        self.indices, self.training = plan.indices, plan.training
        self.validated: dict[str, CrossValidated] = {}

    def run(self) -> Evaluation:
        """Run every stage that the configuration selects; see `evaluate`."""
        result, settings, folds = self.result, self.settings, self.plan.folds
        if folds:
            self._cross_validate(folds)
        elif settings.num_repeats:
            result.caveats.append("too_few_events_for_cross_validation")
        self._score_centers()
        self._compare_in_test_part()
        self._describe_single_patients()
        events = int(self.pipeline.labels[self.training].sum())
        num_inputs = num_fitted_inputs(self.cfg.model, self.pipeline.features)
        result.blocks.sample_size = sample_size(len(self.training), events, num_inputs)
        if settings.num_refits:
            self._refit()
        if self.plan.labels:
            done = [self.validated[each.name].first(settings.label_repeats) for each in self.plan.compared]
            fitted = [self.fits["labels"], self.fits["label_baselines"]][: len(done)]
            result.blocks.label_sensitivity = label_sensitivity(self.plan.labels, fitted, done)
        if settings.permutations and folds:
            log.info("attributions in the held-out patients of %d folds", len(folds))
            importance = attributions(self.pipeline, self.validated[self.pipeline.name], settings.permutations)
            if importance is not None:
                result.blocks.attributions, result.tables["attributions"] = importance
        return result

    def _cross_validate(self, folds: list[Fold]) -> None:
        """Score the model and the baselines in the folds."""
        fitted = iter([*self.fits["folds"], *self.fits["baselines"]])
        self.validated = {
            each.name: score_folds(each, folds, list(islice(fitted, len(folds))))
            for each in [self.pipeline, *self.baselines]
        }
        ids, part = self.data.labels["patient_id"].to_numpy(), self.settings.patients
        decisions = [each for each in dict.fromkeys([self.pipeline.name, "ridge2"]) if each in self.validated]
        add_folds(self.result, self.validated, self.cohort.patients, ids, decisions, part)

    def _score_centers(self) -> None:
        """Add the scores in each center by a model of the other centers, and how much they differ."""
        divided, result = self.plan.centers, self.result
        if not divided.folds:
            result.caveats += ["too_few_centers"] * (len(divided.not_scored) > 1)
            return
        fitted = iter([*self.fits["centers"], *self.fits["center_baselines"]])
        validated = {
            each.name: score_folds(each, divided.folds, list(islice(fitted, len(divided.folds))))
            for each in [self.pipeline, *self.baselines]
        }
        result.blocks.by_center, result.tables["centers"] = validate_by_center(divided, validated)
        if validated[self.pipeline.name].num_diverged and "folds_diverged" not in result.caveats:
            result.caveats.append("folds_diverged")
        if list_large(result.blocks.by_center):
            result.caveats.append("centers_differ")

    def _compare_in_test_part(self) -> None:
        """Compare the model with the baselines, all fitted to the training part."""
        test, blocks = self.data.split.indices("test"), self.result.blocks
        labels = self.pipeline.labels[test]
        tested = {self.pipeline.name: self.risks[test]}
        for baseline, fit_result in zip(self.baselines, self.fits["test"], strict=True):
            tested[baseline.name] = fit_result.predictor().predict(baseline.raw[test])
        blocks.comparison = compare(self.validated, labels, tested)
        blocks.claim = claim(blocks.comparison)
        blocks.calibration = blocks.calibration or CalibrationByStage()
        blocks.calibration.test = calibration(labels, self.risks[test][None])

    def _describe_single_patients(self) -> None:
        """Add thresholds and the uncertainty of single patients, from cross-validation within the training part."""
        result, num_repeats, folds = self.result, self.settings.threshold_repeats, self.plan.training_folds
        if not folds:
            if num_repeats:
                result.caveats.append("too_few_events_for_thresholds")
            return
        if self.plan.reuses_folds:
            within = self.validated[self.pipeline.name].first(num_repeats)
        else:
            within = score_folds(self.pipeline, folds, self.fits["training"])
        blocks, tables = result.blocks, result.tables
        blocks.thresholds, blocks.uncertainty, tables["uncertainty"] = single_patients(
            self.data, self.pipeline.labels, self.risks, within
        )

    def _refit(self) -> None:
        """Add optimism and instability from bootstrap refits."""
        result, (samples, _) = self.result, self.plan.samples
        if not samples:
            result.caveats.append("too_few_events_for_refits")
            return
        threshold = result.blocks.uncertainty.threshold if result.blocks.uncertainty else 0.5
        refitted = bootstrap_refits(self.pipeline, samples, self.fits["refits"], threshold)
        result.blocks.optimism, result.blocks.instability = refitted.optimism, refitted.instability
        result.refits = (refitted.refits, refitted.risks)
        ids = self.data.labels[["patient_id"]].iloc[list(self.indices)].reset_index(drop=True)
        labels = self.pipeline.labels[self.indices].astype(int)
        result.tables["instability"] = pd.concat([ids.assign(label=labels), refitted.table], axis=1)


def add_folds(
    result: Evaluation,
    validated: Mapping[str, CrossValidated],
    patients: pd.DataFrame,
    ids: Array,
    decisions: Sequence[str],
    part: str = "labelled",
) -> None:
    """Add scores, calibration, subgroups and decision curves from a repeated cross-validation.

    Args:
        result: to complete.
        validated: the models by name, the model of the run first.
        patients: the first scan of each patient.
        ids: names of the patients.
        decisions: models of the decision curve.
        part: patients of the cross-validation, as ``cross_validation.patients`` names them.
    """
    model = next(iter(validated.values()))
    indices = model.indices
    labels, probabilities = model.labels[indices], model.probabilities[:, indices]
    result.labels, result.probabilities = labels, probabilities
    result.metrics = model.score_all()
    if part == "train":
        result.caveats.append("cross_validated_within_training")
    if model.num_diverged:
        result.caveats.append("folds_diverged")
    blocks, tables = result.blocks, result.tables
    blocks.cross_validation = CrossValidationSummary(
        patients=part,
        num_folds=len(model.folds) // len(probabilities),
        num_repeats=len(probabilities),
        num_fits=len(model.folds),
        num_patients=len(indices),
        events=int(labels.sum()),
        num_diverged=model.num_diverged,
        auprc_by_chance=model.auprc_by_chance,
    )
    blocks.calibration = CalibrationByStage(cv=calibration(labels, probabilities, model.fold_numbers))
    blocks.calibrated_risk = calibrated_risk(labels, probabilities, model.fold_numbers)
    subgroups = get_subgroups(patients.iloc[indices])
    blocks.subgroups = subgroup_scores(subgroups, labels, probabilities, model.fold_numbers)
    strategies = {name: validated[name].probabilities[:, indices] for name in decisions}
    scores = pd.concat([each.scores.assign(model=name) for name, each in validated.items()], ignore_index=True)
    tables["calibration_curve"] = smoothed_curve(labels, probabilities)
    tables["decision_curve"] = decision_curve(labels, strategies)
    tables["cv_predictions"] = out_of_fold(validated, ids)
    tables["cv_scores"] = scores[["model", *model.scores.columns]]


def out_of_fold(validated: Mapping[str, CrossValidated], ids: Array) -> pd.DataFrame:
    """Return the table of cv_predictions.csv: a row for each model, repeat and patient."""

    def get_rows(name: str, model: CrossValidated, fold: Fold) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "model": name,
                "repeat": fold.repeat,
                "fold": fold.number,
                "patient_id": ids[fold.test],
                "label": model.labels[fold.test].astype(int),
                "probability": model.probabilities[fold.repeat, fold.test],
            }
        )

    return pd.concat([get_rows(name, model, fold) for name, model in validated.items() for fold in model.folds])
