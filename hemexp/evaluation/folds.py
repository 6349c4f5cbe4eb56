"""Whom an evaluation divides, and whether they can be divided so."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemexp.config import TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.split import draw_validation
from hemexp.errors import UserError
from hemexp.evaluation.pipeline import build_pipeline
from hemexp.types import Array

_USUAL_FOLDS = 5  # a cohort too small even for these has no cross-validation, and a caveat


def training_indices(data: ExpansionDataModule) -> list[int]:
    """Return the table positions of the patients that the run's model is fitted to."""
    return sorted(data.split.indices("train") + data.split.indices("val"))


def evaluated_indices(cfg: TrainConfig, data: ExpansionDataModule) -> list[int]:
    """Return the table positions of the patients whom cross-validation divides, as ``evaluation.patients`` says."""
    training = training_indices(data)
    return training if cfg.evaluation.patients == "train" else sorted(training + data.split.indices("test"))


def check_folds(cfg: TrainConfig, data: ExpansionDataModule) -> None:
    """Draw every part that the evaluation will hold out, before hours of training meet one that cannot be drawn.

    Raises:
        UserError: a fold's patients cannot be divided as the split asks, or more folds are asked for than there are
            patients of the rarer outcome.
    """
    pipeline, evaluation = build_pipeline(cfg, data), cfg.evaluation
    indices = evaluated_indices(cfg, data)
    events = int(pipeline.labels[indices].sum())
    rarer = min(events, len(indices) - events)
    if evaluation.name != "off" and _USUAL_FOLDS <= rarer < evaluation.num_folds:
        raise UserError(
            f"evaluation.num_folds={evaluation.num_folds}: each fold must hold both outcomes, and of {len(indices)} "
            f"patients {events} have expansion; give at most {rarer}"
        )
    if evaluation.name == "off" or cfg.split.val_fraction == 0:
        return
    for num_repeats, rows in (
        (evaluation.num_repeats, indices),
        (evaluation.threshold_repeats, training_indices(data)),
    ):
        for part in repeated_folds(pipeline.labels, rows, evaluation.num_folds, num_repeats, cfg.seed):
            draw_validation(pipeline.labels, part.train, cfg.split.val_fraction, part.seed)


@dataclass(frozen=True)
class Fold:
    """One fold: table positions of who trains and who is held out, and the seed of the fit."""

    repeat: int
    fold: int
    seed: int
    train: Array
    test: Array


def repeated_folds(labels: Array, indices: Sequence[int], num_folds: int, num_repeats: int, seed: int) -> list[Fold]:
    """Divide patients into folds, stratified by outcome, again and again; the same for every model.

    Args:
        labels: 1 or 0 for those in `indices`.
        indices: table positions.
        num_folds: of each repeat.
        num_repeats: divisions in another order.
        seed: of the divisions; each part has a seed of its own for its fit.

    Shape:
        labels: (N,).

    Returns:
        The parts; none where a fold would lack an outcome.
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    rows = np.asarray(indices, dtype=int)
    outcomes = labels[rows].astype(int)
    if num_repeats == 0 or min(np.bincount(outcomes, minlength=2)) < num_folds:
        return []
    folds = RepeatedStratifiedKFold(n_splits=num_folds, n_repeats=num_repeats, random_state=seed).split(rows, outcomes)
    seeds = np.random.SeedSequence(seed).generate_state(num_folds * num_repeats)
    return [
        Fold(number // num_folds, number % num_folds, int(seeds[number]), rows[train], rows[test])
        for number, (train, test) in enumerate(folds)
    ]
