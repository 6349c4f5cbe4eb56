"""Folds of repeated stratified cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemexp.cohort.pseudonyms import get_check_value
from hemexp.config import EvaluationConfig, TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.leaks import find_label_leak
from hemexp.data.split import draw_validation
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
    events = int(pipeline.labels[indices].sum())
    rarer = min(events, len(indices) - events)
    if evaluation.name != "off" and _USUAL_FOLDS <= rarer < evaluation.num_folds:
        raise UserError(
            f"evaluation.num_folds={evaluation.num_folds}: too many folds; rule: each fold holds both outcomes, and of "
            f"{len(indices)} patients {events} have expansion; give at most {rarer}"
        )
    if evaluation.name == "off" or cfg.split.val_fraction == 0:
        return
    for num_repeats, rows in (
        (evaluation.num_repeats, indices),
        (evaluation.threshold_repeats, training_indices(data)),
    ):
        for fold in repeated_folds(pipeline.labels, rows, evaluation.num_folds, num_repeats, cfg.seed):
            draw_validation(pipeline.labels, fold.train, cfg.split.val_fraction, fold.seed)


def find_leak(cfg: TrainConfig, data: ExpansionDataModule) -> str | None:
    """Return which leak a run has, by its name in `hemexp.files.result.LEAKS`; None without one.

    ``train_includes_test``: the model has learned from the test part. ``init_includes_test``: its first weights have
    learned from patients of the test part or of a held-out fold. ``same_patient``: two ids of one person are in
    different parts of the split, of a fold or of a bootstrap refit. The others are about inputs and outcomes; see
    `hemexp.data.leaks`.

    Args:
        cfg: of the run.
        data: after `setup`.
    """
    assert data.cohort is not None
    if set(data.fitted_indices) & set(data.split.indices("test")):
        return SEEN_TEST
    if held_out_indices(cfg.evaluation, data) & set(find_run_earlier_patients(cfg, data).recognized_by):
        return INIT_SEEN_TEST
    leaks = [SAME_PATIENT] if _divides_person(cfg, data) else []
    leaks += [each.leak for each in data.leaky_inputs.values()]
    return next(iter(leaks), find_label_leak(data.cohort.scans, data.labels, cfg.label, data.cohort.mapping))


def _divides_person(cfg: TrainConfig, data: ExpansionDataModule) -> bool:
    """Return whether two ids of one person are in different parts of the split, of a fold or of a bootstrap refit."""
    assert data.cohort is not None
    parts = np.array(data.split.parts)
    pairs = np.array(data.cohort.same_patients, dtype=int).reshape(-1, 2)
    pairs = pairs[np.isin(parts[pairs], ("train", "val", "test")).all(axis=1)]
    if (parts[pairs[:, 0]] != parts[pairs[:, 1]]).any():
        return True
    labels, evaluation = data.labels["expansion"].to_numpy(dtype=float), cfg.evaluation
    for num_repeats, rows in (
        (evaluation.num_repeats, evaluated_indices(evaluation, data)),
        (evaluation.threshold_repeats, training_indices(data)),
    ):
        together = pairs[np.isin(pairs, rows).all(axis=1)]
        if evaluation.name == "off" or not len(together):
            continue
        if evaluation.num_refits or evaluation.label_repeats:  # many samples, and other folds for each label
            return True
        for fold in repeated_folds(labels, rows, evaluation.num_folds, num_repeats, cfg.seed):
            if (np.isin(together, fold.test).sum(axis=1) == 1).any():
                return True
    return False


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


def repeated_folds(labels: Array, indices: Sequence[int], num_folds: int, num_repeats: int, seed: int) -> list[Fold]:
    """Divide patients into folds, stratified by outcome, once for each repeat. All models get the same folds.

    Args:
        labels: of all patients; 1 or 0 at `indices`.
        indices: table positions of the patients to divide.
        num_folds: in each repeat.
        num_repeats: number of different divisions.
        seed: of the divisions; the seeds of the fits are derived from it.

    Shape:
        labels: (N,).

    Returns:
        The folds; an empty list where a fold would lack an outcome.
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    rows = np.asarray(indices, dtype=int)
    outcomes = labels[rows].astype(int)
    if num_repeats == 0 or min(np.bincount(outcomes, minlength=2)) < num_folds:
        return []
    splits = RepeatedStratifiedKFold(n_splits=num_folds, n_repeats=num_repeats, random_state=seed).split(rows, outcomes)
    seeds = np.random.SeedSequence(seed).generate_state(num_folds * num_repeats)
    return [
        Fold(number // num_folds, number % num_folds, int(seeds[number]), rows[train], rows[test])
        for number, (train, test) in enumerate(splits)
    ]
