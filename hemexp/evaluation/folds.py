"""Folds of repeated stratified cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemexp.cohort.pseudonyms import get_check_value
from hemexp.config import EvaluationConfig, TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.leaks import find_label_leak
from hemexp.data.split import divide_persons, draw_validation
from hemexp.errors import UserError
from hemexp.evaluation.earlier_patients import EarlierPatients, find_earlier_patients
from hemexp.evaluation.pipeline import build_pipeline
from hemexp.files.result import INIT_SEEN_TEST, SAME_PATIENT, SEEN_TEST
from hemexp.types import Array

_USUAL_FOLDS = 5  # with fewer events than this the run has no cross-validation, but a caveat, instead of an error


def training_indices(data: ExpansionDataModule) -> list[int]:
    """Return the table positions of the patients that the run's model is fitted to."""
    return sorted(data.split.indices("train") + data.split.indices("val"))


def evaluated_indices(evaluation: EvaluationConfig, data: ExpansionDataModule) -> list[int]:
    """Return the table positions of the patients to cross-validate, by ``evaluation.patients``."""
    training = training_indices(data)
    return training if evaluation.patients == "train" else sorted(training + data.split.indices("test"))


def held_out_indices(evaluation: EvaluationConfig, data: ExpansionDataModule) -> set[int]:
    """Return the table positions of the patients that are held out anywhere: in the test part, a fold or a refit."""
    held_out = set(data.split.indices("test"))
    if evaluation.name != "off" and (evaluation.num_repeats or evaluation.num_refits or evaluation.label_repeats):
        held_out |= set(evaluated_indices(evaluation, data))
    assert data.cohort is not None
    if evaluation.name != "off" and evaluation.by_center != "off" and "center" in data.cohort.patients:
        held_out |= set(evaluated_indices(evaluation, data))
    if evaluation.name != "off" and evaluation.threshold_repeats:
        held_out |= set(training_indices(data))
    return held_out


def find_run_earlier_patients(cfg: TrainConfig, data: ExpansionDataModule) -> EarlierPatients:
    """Return the patients of a run's cohort that its first weights have learned from."""
    assert data.cohort is not None
    init_from = getattr(cfg.model, "init_from", None)
    return find_earlier_patients(init_from, data.cohort.scans, get_check_value(cfg.privacy.pseudonymize))


def check_folds(cfg: TrainConfig, data: ExpansionDataModule) -> None:
    """Check before the training that the evaluation can divide the patients into folds and validation parts.

    Raises:
        UserError: the validation part cannot be drawn in a fold, or there are fewer patients of the rarer outcome than
            folds.
    """
    pipeline, evaluation = build_pipeline(cfg, data), cfg.evaluation
    indices = evaluated_indices(evaluation, data)
    _, outcomes = divide_persons(pipeline.labels[indices], data.groups[indices])
    events = int(outcomes.sum())
    rarer = min(events, len(outcomes) - events)
    if evaluation.name != "off" and _USUAL_FOLDS <= rarer < evaluation.num_folds:
        raise UserError(
            f"evaluation.num_folds={evaluation.num_folds}: too many folds; rule: each fold holds both outcomes, and of "
            f"{len(outcomes)} patients {events} have expansion; give at most {rarer}"
        )
    if evaluation.name == "off" or cfg.split.val_fraction == 0:
        return
    from hemexp.evaluation.centers import divide_by_center  # which needs `Fold`

    assert data.cohort is not None
    if evaluation.by_center != "off":
        patients = data.cohort.patients
        for fold in divide_by_center(patients, pipeline.labels, indices, cfg.seed, data.groups).folds:
            draw_validation(pipeline.labels, fold.train, cfg.split.val_fraction, fold.seed, data.groups)
    for num_repeats, rows in (
        (evaluation.num_repeats, indices),
        (evaluation.threshold_repeats, training_indices(data)),
    ):
        folds = repeated_folds(pipeline.labels, rows, evaluation.num_folds, num_repeats, cfg.seed, data.groups)
        for fold in folds:
            draw_validation(pipeline.labels, fold.train, cfg.split.val_fraction, fold.seed, data.groups)


def find_leak(cfg: TrainConfig, data: ExpansionDataModule) -> str | None:
    """Return which leak a run has, by its name in `hemexp.files.result.LEAKS`; None without one.

    ``train_includes_test``: the model has learned from the test part. ``init_includes_test``: its first weights have
    learned from patients of the test part or of a held-out fold. ``same_patient``: two ids of one person are in
    different parts of the split. The others are about inputs and outcomes; see `hemexp.data.leaks`.

    Args:
        cfg: of the run.
        data: after `setup`.
    """
    assert data.cohort is not None
    if set(data.fitted_indices) & set(data.split.indices("test")):
        return SEEN_TEST
    if held_out_indices(cfg.evaluation, data) & set(find_run_earlier_patients(cfg, data).recognized_by):
        return INIT_SEEN_TEST
    leaks = [SAME_PATIENT] if _divides_person(data) else []
    leaks += [each.leak for each in data.leaky_inputs.values()]
    return next(iter(leaks), find_label_leak(data.cohort.scans, data.labels, cfg.label, data.cohort.mapping))


def _divides_person(data: ExpansionDataModule) -> bool:
    """Return whether two ids of one person are in different parts of the split; folds and samples never divide them."""
    assert data.cohort is not None
    parts = np.array(data.split.parts)
    pairs = np.array(data.cohort.same_patients, dtype=int).reshape(-1, 2)
    pairs = pairs[np.isin(parts[pairs], ("train", "val", "test")).all(axis=1)]
    return bool((parts[pairs[:, 0]] != parts[pairs[:, 1]]).any())


@dataclass(frozen=True)
class Fold:
    """The table positions of the training patients and of the held-out patients, and the seed of the fit.

    Attributes:
        repeat: number of the repeat, from 0.
        number: number of the fold within the repeat, from 0.
        seed: of the fit.
        train: indices of the training patients.
        test: indices of the held-out patients.
    """

    repeat: int
    number: int
    seed: int
    train: Array
    test: Array


def repeated_folds(
    labels: Array, indices: Sequence[int], num_folds: int, num_repeats: int, seed: int, groups: Array | None = None
) -> list[Fold]:
    """Divide patients into folds, stratified by outcome, once for each repeat. All models get the same folds.

    Args:
        labels: of all patients; 1 or 0 at `indices`.
        indices: table positions of the patients to divide.
        num_folds: in each repeat.
        num_repeats: number of different divisions.
        seed: of the divisions; the seeds of the fits are derived from it.
        groups: of all patients: numbers that are equal for all ids of one person, which are held out together; None
            where each person has one id.

    Shape:
        labels, groups: (N,).

    Returns:
        The folds; an empty list where a fold would lack an outcome.
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    rows = np.asarray(indices, dtype=int)
    persons, outcomes = divide_persons(labels[rows], rows if groups is None else groups[rows])
    if num_repeats == 0 or min(np.bincount(outcomes, minlength=2)) < num_folds:
        return []
    splits = RepeatedStratifiedKFold(n_splits=num_folds, n_repeats=num_repeats, random_state=seed).split(
        outcomes, outcomes
    )
    seeds = np.random.SeedSequence(seed).generate_state(num_folds * num_repeats)
    folds = []
    for number, (_, test) in enumerate(splits):
        held_out = np.isin(persons, test)
        repeat, fold = divmod(number, num_folds)
        folds.append(Fold(repeat, fold, int(seeds[number]), rows[~held_out], rows[held_out]))
    return folds
