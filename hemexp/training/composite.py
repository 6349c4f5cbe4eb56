"""Members that consist of several fits: an ensemble of seeds, and the folds of a recalibration."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hemexp.data.split import draw_validation
from hemexp.data.training_set import Pool, TrainingSet, build_training_set
from hemexp.errors import UserError
from hemexp.models.ensemble import average, build_content, fit_recalibration
from hemexp.training.member import FitResult, Member
from hemexp.types import Array

_FOLDS = 5  # of a recalibration; fewer where an outcome has fewer patients


def expand(member: Member) -> list[Member]:
    """Return the single fits of a member: first those of its ensemble, then those of each fold of its recalibration.

    Each fit of a network draws its own validation patients, with its own seed, from the patients of the member.

    Raises:
        UserError: there are too few patients of an outcome to divide them.
    """
    if not member.is_composite:
        return [member]
    pool = _get_pool(member)
    seeds = _draw_seeds(member.seed, member.ensemble)
    parts = [pool.rows, *(pool.rows[~np.isin(pool.rows, fold)] for fold in _divide(member))]
    single = replace(member, ensemble=1, calibrate="none")
    return [
        replace(single, training_set=_build(member, rows, seed), seed=seed, keep_last=member.keep_last and number == 0)
        for number, rows in enumerate(parts)
        for seed in seeds
    ]


def combine(member: Member, results: Sequence[FitResult]) -> FitResult:
    """Return the result of a member from those of its single fits, in the order of `expand`.

    The history is the mean over the ensemble; a fit that has stopped does not count in later epochs.
    """
    if not member.is_composite:
        return results[0]
    own, recalibration = results[: member.ensemble], None
    if member.calibrate == "logistic":
        pool = _get_pool(member)
        risks = np.full(len(pool.labels), np.nan)
        for number, fold in enumerate(_divide(member), 1):
            fitted = results[number * member.ensemble : (number + 1) * member.ensemble]
            risks[fold] = average([result.predictor() for result in fitted], pool.raw[fold])
        recalibration = fit_recalibration(risks[pool.rows], pool.labels[pool.rows])
    best = int(np.median([result.best_epoch for result in own]))
    histories = [result.history for result in own if not result.history.empty]
    last: dict[str, Any] | None = None
    if all(result.last is not None for result in own):
        last = build_content([result.last for result in own if result.last is not None], recalibration)
    return FitResult(
        build_content([result.content for result in own], recalibration),
        epochs=max(result.epochs for result in own),
        best_epoch=best,
        best_loss=float(np.mean([result.best_loss for result in own])),
        stopped_by=Counter(result.stopped_by for result in own).most_common(1)[0][0],
        history=pd.concat(histories).groupby("epoch").mean().reset_index() if histories else own[0].history,
        last=last,
    )


def _get_pool(member: Member) -> Pool:
    pool = member.training_set.pool
    if pool is None:
        raise ValueError("ensemble and calibrate need a training set of hemexp.build_training_set")
    return pool


def _draw_seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of an ensemble; the first is the seed of the member."""
    return [seed, *np.random.SeedSequence(seed).generate_state(count - 1).tolist()]


def _divide(member: Member) -> list[Array]:
    """Return the patients of each fold of a recalibration, as indices of the pool."""
    from sklearn.model_selection import StratifiedKFold

    if member.calibrate == "none":
        return []
    pool = _get_pool(member)
    patients = np.unique(pool.rows)
    labels = pool.labels[patients]
    fewest = int(min(labels.sum(), len(labels) - labels.sum()))
    if fewest < 2:
        raise UserError(f"calibrate=logistic: {fewest} patients of an outcome; rule: at least 2 of each in training")
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=member.seed)
    return [patients[test] for _, test in folds.split(patients, labels)]


def _build(member: Member, rows: Array, seed: int) -> TrainingSet:
    """Return a training set of some patients of the pool."""
    old, pool = member.training_set, _get_pool(member)
    train, val = draw_validation(pool.labels, rows, member.val_fraction if member.model.is_network else 0.0, seed)
    clip, names = old.preprocessing.clip, old.features
    return build_training_set(pool.raw, pool.labels, train, val, clip=clip, features=names, label=old.label)
