"""Who trains and who tests. Written once to splits.json; every patient has exactly one part."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.cohort.columns import LOCATION, TRAINING_MARK
from hemexp.config import FractionSplitConfig, KFoldSplitConfig, SplitConfig
from hemexp.errors import UserError

PARTS = ("train", "val", "test", "unused", "unlabelled")


@dataclass(frozen=True)
class Split:
    """The part of every patient, in table order.

    Attributes:
        patients: ids.
        parts: one of `PARTS` for each; ``val`` is cut out of training, ``unused`` has an outcome but takes no part.
    """

    patients: list[str]
    parts: list[str]

    def positions(self, part: str) -> list[int]:
        """Return the table positions of a part's patients."""
        return [i for i, there in enumerate(self.parts) if there == part]

    def ids(self) -> dict[str, list[str]]:
        """Return the content of splits.json."""
        return {part: [self.patients[i] for i in self.positions(part)] for part in PARTS}

    @property
    def roles(self) -> list[str]:
        """The ``role`` column of predictions.csv: a validation patient was part of the fit."""
        return ["train" if part == "val" else part for part in self.parts]


def patient_keys(patients: pd.DataFrame) -> list[tuple[str, str]]:
    """Return two hashes a patient: of the first scan's serial, and of what was measured on it, to six digits.

    Either tells the same patient in another file, also under another name; neither tells who it is.
    """
    scans = ["|".join(f"{value:.6g}" for value in row) for row in patients[LOCATION].to_numpy(dtype=float).tolist()]
    return [
        (_short_hash(serial), _short_hash(scan)) for serial, scan in zip(patients["scan_serial"], scans, strict=True)
    ]


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def split_patients(patients: pd.DataFrame, expansion: pd.Series, split: SplitConfig, seed: int) -> Split:
    """Divide the labelled patients.

    Those marked 训练 are divided (all labelled ones, where nobody is marked); other labelled patients stay unused.

    Args:
        patients: a row a patient, in table order, with ``patient_id`` and ``dataset_part``.
        expansion: 1, 0 or NaN for each.
        split: ``paper`` (sequential), ``stratified`` or ``kfold``.
        seed: of the random divisions.

    Raises:
        UserError: a part would be empty, or the training part would hold one class only.
    """
    labels = expansion.to_numpy()
    known = ~np.isnan(labels)
    marked = (patients["dataset_part"] == TRAINING_MARK).to_numpy()
    eligible = np.flatnonzero(known & marked if marked.any() else known)
    if len(eligible) == 0:
        raise UserError(
            "no patient to train on has a known outcome; rule: follow-up scans, and the mark 训练 where marks are used"
        )
    in_train = _training(labels[eligible], split, seed)
    parts = np.where(known, "unused", "unlabelled").astype(object)
    parts[eligible] = np.where(in_train, "train", "test")
    if split.val_fraction > 0:
        train = np.flatnonzero(parts == "train")
        parts[train[stratified_draw(labels[train], split.val_fraction, seed, "split.val_fraction")]] = "val"
    _check(labels, parts)
    return Split(patients["patient_id"].tolist(), parts.tolist())


def _training(labels: np.ndarray, split: SplitConfig, seed: int) -> np.ndarray:
    n = len(labels)
    if split.name == "paper" and isinstance(split, FractionSplitConfig):
        return np.arange(n) < int(np.floor(round(split.train_fraction * n, 9)))
    if split.name == "stratified" and isinstance(split, FractionSplitConfig):
        return ~stratified_draw(labels, 1 - split.train_fraction, seed, "split.train_fraction")
    if split.name == "kfold" and isinstance(split, KFoldSplitConfig):
        from sklearn.model_selection import StratifiedKFold

        smallest = int(min((labels == 0).sum(), (labels == 1).sum()))
        if smallest < split.num_folds:
            raise UserError(
                f"split.num_folds={split.num_folds}: each fold needs both classes, and one has {smallest} patients"
            )
        folds = StratifiedKFold(split.num_folds, shuffle=True, random_state=seed).split(labels[:, None], labels)
        in_train = np.ones(n, dtype=bool)
        in_train[list(folds)[split.fold][1]] = False
        return in_train
    raise UserError(f"split.name={split.name}: must be one of paper, stratified, kfold, as split=NAME")


def stratified_draw(labels: np.ndarray, fraction: float, seed: int, key: str) -> np.ndarray:
    """Return who is drawn, a fraction of each class at random.

    Args:
        labels: 1 or 0.
        fraction: to draw.
        seed: of the draw.
        key: of the configuration, for the error.

    Shape:
        labels: (N,); output (N,), true where drawn.

    Raises:
        UserError: the patients cannot be divided so.
    """
    from sklearn.model_selection import train_test_split

    try:
        _, drawn = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed)
    except ValueError as error:
        raise UserError(
            f"{key}: {len(labels)} patients, {int(labels.sum())} with expansion, cannot be divided: {error}"
        ) from None
    mask = np.zeros(len(labels), dtype=bool)
    mask[drawn] = True
    return mask


def _check(labels: np.ndarray, parts: np.ndarray) -> None:
    train, test = labels[parts == "train"], labels[parts == "test"]
    if len(train) == 0 or len(test) == 0:
        raise UserError(
            f"{len(train)} patients to train on and {len(test)} to test on; rule: at least one in each part"
        )
    if train.min() == train.max():
        only = "expansion" if train[0] == 1 else "no expansion"
        raise UserError(
            f"the training part holds one class only: all {len(train)} patients have {only}; rule: both outcomes"
        )
