"""The fits of an evaluation by stage, known before the first one is trained, so that all can be trained together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hemexp.cohort.labels import can_label, label_patients
from hemexp.config import GrowthLabelConfig, LabelConfig, TrainConfig
from hemexp.config.compose import label_definitions
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.evaluation.bootstrap import draw_samples
from hemexp.evaluation.centers import CenterFolds, divide_by_center
from hemexp.evaluation.folds import Fold, evaluated_indices, repeated_folds, training_indices
from hemexp.evaluation.label_sensitivity import LabelFolds, divide_by_label
from hemexp.evaluation.pipeline import Pipeline, build_pipeline, choose_baselines, get_training
from hemexp.training.member import Member
from hemexp.types import Array


@dataclass(frozen=True, eq=False)
class PlannedFit:
    """A fit that was not trained yet: the patients and the seed of `Pipeline.member`."""

    pipeline: Pipeline
    rows: Array
    seed: int

    def member(self) -> Member:
        """Return the member; its training set is built now."""
        return self.pipeline.member(self.rows.tolist(), self.seed)


def plan_folds(pipelines: Sequence[Pipeline], folds: Sequence[Fold]) -> list[PlannedFit]:
    """Return the fit of every pipeline in every fold, pipeline by pipeline."""
    return [PlannedFit(pipeline, fold.train, fold.seed) for pipeline in pipelines for fold in folds]


def own_member(cfg: TrainConfig, data: ExpansionDataModule) -> Member:
    """Return the member of the run's model, which learns from the training part."""
    training = get_training(cfg, cfg.model)
    return Member(cfg.model, cfg.optimizer, data.training_set, cfg.seed, keep_last=True, **training)


def list_definitions(cfg: TrainConfig) -> dict[str, LabelConfig]:
    """Return the definitions of the outcome for label sensitivity: all in ``conf/label``, and the run's."""
    labels: dict[str, LabelConfig] = dict(label_definitions())
    if isinstance(cfg.label, GrowthLabelConfig):
        rule = cfg.label.no_scan_in_window
        labels = {name: replace(label, no_scan_in_window=rule) for name, label in label_definitions().items()}
    labels[cfg.label.name] = cfg.label
    return labels


class EvaluationPlan:
    """The patients, folds, samples and models of an evaluation.

    Args:
        cfg: of the run.
        data: after `setup`.
        definitions: definitions of the outcome by name, for label sensitivity.

    Attributes:
        pipeline: of the run.
        baselines: of the other models.
        left_out: baselines that cannot be computed, with the reason.
        indices: patients of the cross-validation.
        training: patients of the training part.
    """

    def __init__(self, cfg: TrainConfig, data: ExpansionDataModule, definitions: Mapping[str, LabelConfig]) -> None:
        self.cfg, self.data, self.definitions = cfg, data, definitions
        self.pipeline = build_pipeline(cfg, data)
        models, self.left_out = choose_baselines(cfg, data)
        self.baselines = [build_pipeline(cfg, data, model) for model in models]
        self.indices, self.training = evaluated_indices(cfg.evaluation, data), training_indices(data)

    @cached_property
    def folds(self) -> list[Fold]:
        """The folds of the cross-validation; empty where there are too few events."""
        return self._divide(self.indices, self.cfg.evaluation.num_repeats)

    @cached_property
    def training_folds(self) -> list[Fold]:
        """The folds within the training part, for thresholds; empty where there are too few events."""
        return self._divide(self.training, self.cfg.evaluation.threshold_repeats)

    @cached_property
    def centers(self) -> CenterFolds:
        """The centers, each as a fold; without folds where there are too few, or the configuration wants none."""
        if self.cfg.evaluation.by_center == "off" or self.data.cohort is None:
            return CenterFolds()
        patients, labels, groups = self.data.cohort.patients, self.pipeline.labels, self.data.groups
        return divide_by_center(patients, labels, self.indices, self.cfg.seed, groups)

    @property
    def reuses_folds(self) -> bool:
        """Whether `training_folds` are the first folds of the cross-validation."""
        return bool(self.folds) and self.cfg.evaluation.reuses_folds

    @cached_property
    def samples(self) -> tuple[list[Array], list[int]]:
        """The bootstrap samples and the seeds of their fits; see `draw_samples`."""
        num_refits, groups = self.cfg.evaluation.num_refits, self.data.groups
        return draw_samples(self.pipeline.labels, self.indices, num_refits, self.cfg.seed, groups)

    @cached_property
    def labels(self) -> list[LabelFolds]:
        """The folds under each definition of the outcome; empty without label sensitivity."""
        cohort, repeats = self.data.cohort, self.cfg.evaluation.label_repeats
        if not repeats or not self.folds or cohort is None:
            return []
        labels = {
            name: (label, label_patients(cohort.scans, label, cohort.mapping)["expansion"].to_numpy(dtype=float))
            for name, label in self.definitions.items()
            if can_label(cohort.scans, label, cohort.mapping)
        }
        return divide_by_label(self.compared, labels, self.indices, repeats)

    @property
    def compared(self) -> list[Pipeline]:
        """The pipelines of label sensitivity: the run's, and the two-variable ridge."""
        return [self.pipeline, *(baseline for baseline in self.baselines if baseline.name == "ridge2")]

    @cached_property
    def fits(self) -> dict[str, list[PlannedFit]]:
        """All fits of the evaluation by stage; those of one stage and one model have one shape or two."""
        if self.cfg.evaluation.name == "off":
            return {}
        samples, seeds = self.samples
        return {
            "folds": plan_folds([self.pipeline], self.folds),
            "training": [] if self.reuses_folds else plan_folds([self.pipeline], self.training_folds),
            "refits": [PlannedFit(self.pipeline, rows, seed) for rows, seed in zip(samples, seeds, strict=True)],
            "centers": plan_folds([self.pipeline], self.centers.folds),
            "labels": [fit for each in self.labels for fit in plan_folds(each.pipelines[:1], each.folds)],
            "baselines": plan_folds(self.baselines, self.folds),
            "center_baselines": plan_folds(self.baselines, self.centers.folds),
            "label_baselines": [fit for each in self.labels for fit in plan_folds(each.pipelines[1:], each.folds)],
            "test": [PlannedFit(baseline, np.asarray(self.training), self.cfg.seed) for baseline in self.baselines],
        }

    def _divide(self, indices: Sequence[int], num_repeats: int) -> list[Fold]:
        num_folds, groups = self.cfg.evaluation.num_folds, self.data.groups
        return repeated_folds(self.pipeline.labels, indices, num_folds, num_repeats, self.cfg.seed, groups)
