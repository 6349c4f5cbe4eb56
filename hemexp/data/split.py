"""Assign every patient to train, validation, test, unused or unlabelled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.cohort.columns import TRAINING_MARK
from hemexp.config import FractionSplitConfig, KFoldSplitConfig, SplitConfig
from hemexp.errors import UserError
from hemexp.types import Array

PARTS = ("train", "val", "test", "unused", "unlabelled")


@dataclass(frozen=True)
class Split:
    """The part of every patient, in table order.

    Attributes:
        patients: patient ids.
        parts: one of `PARTS` for each patient. ``val`` is drawn from the training part. ``unused`` patients have an
            outcome, but are neither trained on nor tested.
    """

    patients: list[str]
    parts: list[str]

    def indices(self, part: str) -> list[int]:
        """Return the table indices of the patients of a part."""
        return [index for index, assigned in enumerate(self.parts) if assigned == part]

    def ids(self) -> dict[str, list[str]]:
        """Return the content of splits.json: the patient ids of every part."""
        return {part: [self.patients[index] for index in self.indices(part)] for part in PARTS}

    @property
    def roles(self) -> list[str]:
        """The ``role`` column of predictions.csv. Validation patients count as train: they influenced the fit."""
        return ["train" if part == "val" else part for part in self.parts]


def split_patients(patients: pd.DataFrame, expansion: pd.Series, split: SplitConfig, seed: int) -> Split:
    """Divide the patients with a known outcome into parts.

    Only the patients marked 训练 are divided; other patients with an outcome are ``unused``. If no patient is marked,
    all patients with an outcome are divided.

    Args:
        patients: one row a patient, in table order, with ``patient_id`` and, if the cohort has it, ``dataset_part``.
        expansion: 1, 0 or NaN for each patient.
        split: ``paper`` (sequential), ``stratified`` or ``kfold``.
        seed: of the random divisions.

    Raises:
        UserError: a part would be empty, or the training part would hold one class only.
    """
    labels = expansion.to_numpy()
    known = ~np.isnan(labels)
    marked = (patients["dataset_part"] == TRAINING_MARK).to_numpy() if "dataset_part" in patients else known & False
    eligible = np.flatnonzero(known & marked if marked.any() else known)
    if len(eligible) == 0:
        raise UserError(
            "no patient to train on has a known outcome; rule: later scans, and the mark 训练 if used; for an outcome "
            "that the file holds give label=column label.column=NAME"
        )
    in_train = _assign_train(labels[eligible], split, seed)
    parts = np.where(known, "unused", "unlabelled").astype(object)
    parts[eligible] = np.where(in_train, "train", "test")
    _, val = draw_validation(labels, np.flatnonzero(parts == "train"), split.val_fraction, seed)
    parts[val] = "val"
    _check_parts(labels, parts)
    return Split(patients["patient_id"].tolist(), parts.tolist())


def _assign_train(labels: Array, split: SplitConfig, seed: int) -> Array:
    """Return which of the patients train, (N,) of bool; the others test."""
    n = len(labels)
    if isinstance(split, FractionSplitConfig) and split.name == "paper":
        return np.arange(n) < count_first(n, split.train_fraction)
    if isinstance(split, FractionSplitConfig):
        return ~_stratified_draw(labels, 1 - split.train_fraction, seed, "split.train_fraction")
    if isinstance(split, KFoldSplitConfig):
        from sklearn.model_selection import StratifiedKFold

        smallest = int(min((labels == 0).sum(), (labels == 1).sum()))
        if smallest < split.num_folds:
            raise UserError(
                f"split.num_folds={split.num_folds}: the rarer outcome has {smallest} patients; rule: each fold needs "
                "patients of both outcomes; use fewer folds"
            )
        folds = StratifiedKFold(split.num_folds, shuffle=True, random_state=seed).split(labels[:, None], labels)
        in_train = np.ones(n, dtype=bool)
        in_train[list(folds)[split.fold][1]] = False
        return in_train
    raise UserError(f"split.name={split.name}: must be one of paper, stratified, kfold, as split=NAME")


def draw_validation(labels: Array, rows: Sequence[int] | Array, fraction: float, seed: int) -> tuple[Array, Array]:
    """Divide the patients of a fit into training and validation patients, stratified by outcome.

    A bootstrap sample may hold a patient several times. All copies go to the same part.

    Args:
        labels: 1 or 0 for the patients in `rows`.
        rows: table indices.
        fraction: share of the patients to draw for validation; 0 for none.
        seed: of the draw.

    Shape:
        labels: (N,).

    Returns:
        Table indices of the training and of the validation patients, each in table order.

    Raises:
        UserError: there are too few patients of an outcome to divide them.
    """
    rows = np.sort(np.asarray(rows, dtype=int))
    if fraction == 0:
        return rows, rows[:0]
    patients = np.unique(rows)
    drawn = patients[_stratified_draw(labels[patients], fraction, seed, "split.val_fraction")]
    in_val = np.isin(rows, drawn)
    return rows[~in_val], rows[in_val]


def _stratified_draw(labels: Array, fraction: float, seed: int, key: str) -> Array:
    """Draw a fraction of the patients of each outcome.

    Args:
        labels: 1 or 0.
        fraction: to draw.
        seed: of the draw.
        key: the configuration key of `fraction`, for the message.

    Shape:
        labels: (N,). Output: (N,) of bool, true where drawn.

    Raises:
        UserError: there are too few patients of an outcome to divide them.
    """
    from sklearn.model_selection import train_test_split

    try:
        _, drawn = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed)
    except ValueError as error:
        rule = f"rule: at least 2 of each outcome, and 1 in each part; give another {key}, or more patients"
        raise UserError(
            f"{key}: {len(labels)} patients, {int(labels.sum())} with expansion, cannot be divided; {rule}"
        ) from error
    mask = np.zeros(len(labels), dtype=bool)
    mask[drawn] = True
    return mask


def overfit_subset(labels: Array, indices: Sequence[int], num_patients: int) -> list[int]:
    """Take patients of each outcome in turn, first ones first, until there are enough.

    Args:
        labels: 1 or 0 for the patients in `indices`.
        indices: table indices to choose from.
        num_patients: patients to take; all if there are fewer.

    Shape:
        labels: (N,).
    """
    count: dict[float, int] = {}
    ranked = []
    for index in indices:
        outcome = float(labels[index])
        count[outcome] = count.get(outcome, 0) + 1
        ranked.append((count[outcome], index))
    return sorted(index for _, index in sorted(ranked)[:num_patients])


def _check_parts(labels: Array, parts: Array) -> None:
    train, test = labels[parts == "train"], labels[parts == "test"]
    if len(train) == 0 or len(test) == 0:
        raise UserError(f"{len(train)} patients to train on, {len(test)} to test on; rule: at least one in each part")
    if train.min() == train.max():
        only = "the outcome" if train[0] == 1 else "no outcome"
        advice = "choose another label, or check its column or thresholds"
        raise UserError(
            f"the training part: all {len(train)} patients have {only}; rule: patients with and without it; {advice}"
        )


def count_first(count: int, share: float = 0.6) -> int:
    """Return how many of `count` patients are the first `share` of them; by default, the training part of the paper."""
    return int(np.floor(round(share * count, 9)))
