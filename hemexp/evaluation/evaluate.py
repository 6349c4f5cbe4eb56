"""Evaluation of a run's model, as ``evaluation=standard`` and ``evaluation=full`` define it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hemexp.cohort.find_column import describe_left_out
from hemexp.cohort.labels import can_label, label_patients
from hemexp.config import LabelConfig, TrainConfig
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
from hemexp.evaluation.pipeline import build_pipeline, choose_baselines
from hemexp.evaluation.sample_size import num_fitted_inputs, sample_size
from hemexp.evaluation.subgroups import get_subgroups, subgroup_scores
from hemexp.evaluation.uncertainty import single_patients
from hemexp.files.result import CalibrationByStage, CrossValidationSummary, EvaluationBlocks, Score
from hemexp.models.baselines import list_missing_items
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
        definitions: definitions of the outcome by name, for label sensitivity.
        directory: for the state of groups of networks, from which the same call resumes.
        callback: gets the mean ``search.score`` of the model after every repeat of the cross-validation.

    Shape:
        risks: (N,).

    Raises:
        UserError: a model cannot be fitted to a fold.
        Interrupted: the process got a signal to end.
        Pruned: raised by `callback`.
    """
    if cfg.evaluation.name == "off":
        return Evaluation()
    return _Stages(cfg, data, risks, directory).run(definitions, callback)


class _Stages:
    """The stages of the evaluation of one run.

    Attributes:
        result: all that the stages have found so far.
        pipeline: of the run.
        baselines: of the other models.
        indices: patients of the cross-validation.
        training: patients of the training part.
        validated: the cross-validated models by name, the model of the run first; empty before the cross-validation.
    """

    def __init__(self, cfg: TrainConfig, data: ExpansionDataModule, risks: Array, directory: Path | None) -> None:
        assert data.cohort is not None
        self.result = Evaluation()
        self.cfg, self.data, self.risks, self.directory = cfg, data, risks, directory
        self.cohort, self.settings = data.cohort, cfg.evaluation
        self.pipeline = build_pipeline(cfg, data)
        models, left_out = choose_baselines(cfg, data)
        self.baselines = [build_pipeline(cfg, data, model) for model in models]
        self.result.blocks.left_out_baselines = left_out
        brain = next((each for each in [self.pipeline, *self.baselines] if each.model.name == "brain"), None)
        if brain is not None:
            self.result.blocks.brain_missing_items = list_missing_items(brain.features)
        self.indices, self.training = evaluated_indices(cfg.evaluation, data), training_indices(data)
        self.validated: dict[str, CrossValidated] = {}

    def run(self, definitions: Mapping[str, LabelConfig], callback: ScoreCallback | None) -> Evaluation:
        """Run every stage that the configuration selects; see `evaluate`."""
        result, settings = self.result, self.settings
        if result.blocks.left_out_baselines:
            log.info("baselines left out: %s", describe_left_out(result.blocks.left_out_baselines))
        folds = self._divide(self.indices, settings.num_repeats)
        if folds:
            self._cross_validate(folds, callback)
        elif settings.num_repeats:
            result.caveats.append("too_few_events_for_cross_validation")
        self._compare_in_test_part()
        self._describe_single_patients()
        events = int(self.pipeline.labels[self.training].sum())
        num_inputs = num_fitted_inputs(self.cfg.model, self.pipeline.features)
        result.blocks.sample_size = sample_size(len(self.training), events, num_inputs)
        if settings.num_refits:
            self._refit()
        if settings.label_repeats and folds:
            self._vary_label(definitions)
        if settings.permutations and folds:
            log.info("attributions in the held-out patients of %d folds", len(folds))
            importance = attributions(self.pipeline, self.validated[self.pipeline.name], settings.permutations)
            if importance is not None:
                result.blocks.attributions, result.tables["attributions"] = importance
        return result

    def _divide(self, indices: Sequence[int], num_repeats: int) -> list[Fold]:
        return repeated_folds(self.pipeline.labels, indices, self.settings.num_folds, num_repeats, self.cfg.seed)

    def _get_directory(self, stage: str) -> Path | None:
        return self.directory / stage if self.directory else None

    def _cross_validate(self, folds: list[Fold], callback: ScoreCallback | None) -> None:
        """Add scores, calibration, subgroups and decision curves from the cross-validation."""
        counts = len(folds), len(folds) * len(self.baselines), len(self.baselines)
        log.info("cross-validation: %d fits of the model, and %d fits of %d baselines in the same folds", *counts)
        pipelines, directory = [self.pipeline, *self.baselines], self._get_directory("folds")
        with _stage("cross-validation"):
            results = cross_validate(pipelines, folds, self.cfg.trainer, directory, callback, self.cfg.search.score)
        self.validated = {each.name: scores for each, scores in zip(pipelines, results, strict=True)}
        result, settings, indices = self.result, self.settings, self.indices
        name, model = next(iter(self.validated.items()))
        labels, probabilities = model.labels[indices], model.probabilities[:, indices]
        result.labels, result.probabilities = labels, probabilities
        result.metrics = {f"cv/{measure}": model.score(measure) for measure in MEASURED}
        if settings.patients == "train":
            result.caveats.append("cross_validated_within_training")
        if model.num_diverged:
            result.caveats.append("folds_diverged")
        result.blocks.cross_validation = CrossValidationSummary(
            patients=settings.patients,
            num_folds=settings.num_folds,
            num_repeats=settings.num_repeats,
            num_fits=len(model.folds),
            num_patients=len(indices),
            events=int(labels.sum()),
            num_diverged=model.num_diverged,
            auprc_by_chance=model.auprc_by_chance,
        )
        result.blocks.calibration = CalibrationByStage(cv=calibration(labels, probabilities, model.fold_numbers))
        subgroups = get_subgroups(self.cohort.patients.iloc[list(indices)])
        result.blocks.subgroups = subgroup_scores(subgroups, labels, probabilities, model.fold_numbers)
        strategies = {
            each: self.validated[each].probabilities[:, indices]
            for each in dict.fromkeys([name, "ridge2"])
            if each in self.validated
        }
        scores = [each.scores.assign(model=baseline) for baseline, each in self.validated.items()]
        result.tables["calibration_curve"] = smoothed_curve(labels, probabilities)
        result.tables["decision_curve"] = decision_curve(labels, strategies)
        result.tables["cv_predictions"] = out_of_fold(self.validated, self.data)
        result.tables["cv_scores"] = pd.concat(scores, ignore_index=True)[["model", *model.scores.columns]]

    def _compare_in_test_part(self) -> None:
        """Fit the baselines to the training part and compare the model with them."""
        test, blocks = self.data.split.indices("test"), self.result.blocks
        labels = self.pipeline.labels[test]
        members = [baseline.member(self.training, self.cfg.seed) for baseline in self.baselines]
        tested = {self.pipeline.name: self.risks[test]}
        for baseline, fit_result in zip(self.baselines, fit(members, self.cfg.trainer), strict=True):
            tested[baseline.name] = fit_result.predictor().predict(baseline.raw[test])
        blocks.comparison = compare(self.validated, labels, tested)
        blocks.claim = claim(blocks.comparison)
        blocks.calibration = blocks.calibration or CalibrationByStage()
        blocks.calibration.test = calibration(labels, self.risks[test][None])

    def _describe_single_patients(self) -> None:
        """Add thresholds and the uncertainty of single patients, from cross-validation within the training part."""
        result, settings, num_repeats = self.result, self.settings, self.settings.threshold_repeats
        folds = self._divide(self.training, num_repeats)
        if not folds:
            if num_repeats:
                result.caveats.append("too_few_events_for_thresholds")
            return
        if self.validated and settings.patients == "train" and settings.num_repeats >= num_repeats:
            # the same folds and seeds are already fitted
            within = self.validated[self.pipeline.name].first(num_repeats)
        else:
            log.info("thresholds and Venn-Abers pairs: %d fits within the training part", len(folds))
            with _stage("cross-validation within the training part"):
                directory = self._get_directory("training")
                (within,) = cross_validate([self.pipeline], folds, self.cfg.trainer, directory)
        blocks, tables = result.blocks, result.tables
        blocks.thresholds, blocks.uncertainty, tables["uncertainty"] = single_patients(
            self.data, self.pipeline.labels, self.risks, within
        )

    def _refit(self) -> None:
        """Add optimism and instability from bootstrap refits."""
        result, indices, num_refits = self.result, self.indices, self.settings.num_refits
        labels = self.pipeline.labels[indices].astype(int)
        events = int(labels.sum())
        if min(events, len(indices) - events) < MIN_OUTCOMES:
            result.caveats.append("too_few_events_for_refits")
            return
        log.info("optimism and instability: %d refits on bootstrap samples", num_refits)
        threshold = result.blocks.uncertainty.threshold if result.blocks.uncertainty else 0.5
        cfg, directory = self.cfg, self._get_directory("refits")
        with _stage("bootstrap refits"):
            refitted = bootstrap_refits(self.pipeline, indices, num_refits, cfg.seed, cfg.trainer, threshold, directory)
        result.blocks.optimism, result.blocks.instability = refitted.optimism, refitted.instability
        result.refits = (refitted.refits, refitted.risks)
        ids = self.data.labels[["patient_id"]].iloc[list(indices)].reset_index(drop=True)
        result.tables["instability"] = pd.concat([ids.assign(label=labels), refitted.table], axis=1)

    def _vary_label(self, definitions: Mapping[str, LabelConfig]) -> None:
        """Add the scores under other definitions of expansion."""
        scans, mapping, num_repeats = self.cohort.scans, self.cohort.mapping, self.settings.label_repeats
        labels = {
            name: (label, label_patients(scans, label, mapping)["expansion"].to_numpy(dtype=float))
            for name, label in definitions.items()
            if can_label(scans, label, mapping)
        }
        log.info("label sensitivity: %d definitions of the outcome", len(labels))
        pipelines = [self.pipeline, *(baseline for baseline in self.baselines if baseline.name == "ridge2")]
        done = [self.validated[each.name].first(num_repeats) for each in pipelines]
        with _stage("label sensitivity"):
            self.result.blocks.label_sensitivity = label_sensitivity(
                pipelines, labels, self.indices, num_repeats, done, self._get_directory("labels")
            )


@contextmanager
def _stage(name: str) -> Iterator[None]:
    """Add the stage of the evaluation to the message of an interruption."""
    try:
        yield
    except Interrupted:
        raise Interrupted(f"interrupted in the evaluation ({name}); the training of the model is complete") from None


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
