"""Assign every patient to train, validation, test, unused or unlabelled."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.cohort.cell import cell_text
from hemexp.cohort.columns import TRAINING_MARK
from hemexp.cohort.headers import squeeze
from hemexp.cohort.pseudonyms import are_pseudonyms
from hemexp.config import CenterSplitConfig, FractionSplitConfig, KFoldSplitConfig, SplitConfig
from hemexp.errors import UserError
from hemexp.formatting import plural
from hemexp.types import Array

SPLITS = ("paper", "stratified", "kfold", "center", "temporal")
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


def split_patients(
    patients: pd.DataFrame,
    expansion: pd.Series,
    split: SplitConfig,
    seed: int,
    groups: Array | None = None,
) -> Split:
    """Divide the patients with a known outcome into parts.

    Only the patients marked 训练 are divided; other patients with an outcome are ``unused``. If no patient is marked,
    all patients with an outcome are divided.

    All ids of one person are in the same part, except with ``paper``, which keeps the order of the table. With
    ``center`` and ``temporal``, a person who is in the test part does not train under another id either.

    Args:
        patients: one row a patient, in table order, with ``patient_id`` and, if the cohort has them, ``dataset_part``,
            ``center`` and ``scan_time`` of the first scan.
        expansion: 1, 0 or NaN for each patient.
        split: ``paper`` (sequential), ``stratified``, ``kfold``, ``center`` or ``temporal``.
        seed: of the random divisions.
        groups: (N,) numbers that are equal for all ids of one person; None where each has one id.

    Raises:
        UserError: a part would be empty, the training part would hold one class only, the center does not exist, or no
            time is known.
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
    groups = np.arange(len(labels)) if groups is None else groups
    parts = np.where(known, "unused", "unlabelled").astype(object)
    if isinstance(split, CenterSplitConfig):
        parts[eligible] = _divide_by_center(patients.iloc[eligible], labels[eligible], split)
    elif split.name == "temporal" and isinstance(split, FractionSplitConfig):
        parts[eligible] = _divide_by_time(patients.iloc[eligible], split)
    else:
        parts[eligible] = np.where(_assign_train(labels[eligible], split, seed, groups[eligible]), "train", "test")
    if split.name in {"center", "temporal"}:
        parts[(parts == "train") & np.isin(groups, groups[parts == "test"])] = "unused"
    _, val = draw_validation(labels, np.flatnonzero(parts == "train"), split.val_fraction, seed, groups)
    parts[val] = "val"
    _check_parts(labels, parts)
    return Split(patients["patient_id"].tolist(), parts.tolist())


def number_persons(num_patients: int, same_patients: Iterable[tuple[int, int]] = ()) -> Array:
    """Return a number for each patient, which is equal for all ids of one person.

    Args:
        num_patients: N.
        same_patients: pairs of patients that are one person.

    Shape:
        Output: (N,) of int: the first patient of each person.
    """
    groups = np.arange(num_patients)
    for first, second in same_patients:
        low, high = sorted((groups[first], groups[second]))
        groups[groups == high] = low
    return groups


def divide_persons(labels: Array, groups: Array) -> tuple[Array, Array]:
    """Return the persons of some patients, and the outcome of each: 1 if it is 1 under any id.

    Args:
        labels: 1 or 0.
        groups: numbers that are equal for all ids of one person.

    Shape:
        labels, groups: (N,). Output: (N,) the position of each patient's person, and (P,) of int. Persons are in the
        order of their first ids, so that without several ids of one person they are the patients.
    """
    persons, _ = pd.factorize(groups)
    outcomes = np.zeros(int(persons.max(initial=-1)) + 1, dtype=int)
    np.maximum.at(outcomes, persons, labels.astype(int))
    return persons, outcomes


def _assign_train(labels: Array, split: SplitConfig, seed: int, groups: Array) -> Array:
    """Return which of the patients train, (N,) of bool; the others test."""
    n = len(labels)
    if isinstance(split, FractionSplitConfig) and split.name == "paper":
        return np.arange(n) < count_first(n, split.train_fraction)
    persons, outcomes = divide_persons(labels, groups)
    if isinstance(split, FractionSplitConfig):
        return ~_stratified_draw(outcomes, 1 - split.train_fraction, seed, "split.train_fraction")[persons]
    if isinstance(split, KFoldSplitConfig):
        from sklearn.model_selection import StratifiedKFold

        smallest = int(min((outcomes == 0).sum(), (outcomes == 1).sum()))
        if smallest < split.num_folds:
            raise UserError(
                f"split.num_folds={split.num_folds}: the rarer outcome has {smallest} patients; rule: each fold needs "
                "patients of both outcomes; use fewer folds"
            )
        folds = StratifiedKFold(split.num_folds, shuffle=True, random_state=seed).split(outcomes[:, None], outcomes)
        return ~np.isin(persons, list(folds)[split.fold][1])
    raise UserError(f"split.name={split.name}: must be one of {', '.join(SPLITS)}, as split=NAME")


def _divide_by_center(patients: pd.DataFrame, labels: Array, split: CenterSplitConfig) -> Array:
    """Return the part of each patient: the test center is ``test``, patients without a center are ``unused``.

    Raises:
        UserError: the cohort has no centers, or none of this name.
    """
    if "center" not in patients:
        raise UserError(
            "split=center: the cohort has no column of the centers; rule: a column with a header such as center, site "
            "or hospital, or means: center in mapping.yaml"
        )
    centers = patients["center"]
    center = _find_center(split.center, centers.dropna().unique())
    if center is None:
        counts = pd.Series(labels, centers.to_numpy()).groupby(level=0).agg(["size", "sum"])
        listed = "; ".join(
            f"{name} ({plural(int(size), 'patient')}, {events:.0f} with the outcome)"
            for name, size, events in counts.itertuples()
        )
        problem = "is not set" if split.center is None else f"={split.center}: there is no such center"
        raise UserError(
            f"split.center{' ' * (split.center is None)}{problem}; rule: the center that is the test part, as "
            f"split.center=NAME; there are: {listed}"
        )
    return np.where(centers.isna(), "unused", np.where(centers == center, "test", "train"))


def _find_center(name: str | None, centers: Iterable[str]) -> str | None:
    """Return the center that a name means: as it is in the cohort, or as a cell of a file may hold it."""
    if name is None or name in centers:
        return name
    written = squeeze(re.sub(r"(?<=\d)\.0+$", "", cell_text(name)))
    found = [center for center in centers if squeeze(center) == written]
    return found[0] if len(found) == 1 else None


def _divide_by_time(patients: pd.DataFrame, split: FractionSplitConfig) -> Array:
    """Return the part of each patient: the earlier ones train, equal times are in one part; without a time ``unused``.

    The training part is at most `split.train_fraction` of the patients with a known time.

    Raises:
        UserError: no time is known, or the times are shifted.
    """
    times = patients["scan_time"]
    if times.isna().all():
        raise UserError(
            "split=temporal: no first scan has a known date and time; rule: the earlier patients train, the later ones "
            "are the test part; add a column of the scan times"
        )
    if are_pseudonyms(patients["patient_id"]):
        raise UserError(
            "split=temporal: the dates of each patient were shifted by another number of days (privacy.pseudonymize), "
            "so that the order of the patients is lost; rule: original dates; use the original files without "
            "pseudonyms, or another split"
        )
    known = times.dropna().sort_values()
    first_test = known.iloc[count_first(len(known), split.train_fraction)]
    return np.where(times.isna(), "unused", np.where(times < first_test, "train", "test"))


def draw_validation(
    labels: Array, rows: Sequence[int] | Array, fraction: float, seed: int, groups: Array | None = None
) -> tuple[Array, Array]:
    """Divide the patients of a fit into training and validation patients, stratified by outcome.

    A bootstrap sample may hold a patient several times. All copies, and all ids of one person, go to the same part.

    Args:
        labels: 1 or 0 for the patients in `rows`.
        rows: table indices.
        fraction: share of the patients to draw for validation; 0 for none.
        seed: of the draw.
        groups: of all patients: numbers that are equal for all ids of one person; None where each has one id.

    Shape:
        labels, groups: (N,).

    Returns:
        Table indices of the training and of the validation patients, each in table order.

    Raises:
        UserError: there are too few patients of an outcome to divide them.
    """
    rows = np.sort(np.asarray(rows, dtype=int))
    if fraction == 0:
        return rows, rows[:0]
    patients = np.unique(rows)
    persons, outcomes = divide_persons(labels[patients], patients if groups is None else groups[patients])
    drawn = patients[_stratified_draw(outcomes, fraction, seed, "split.val_fraction")[persons]]
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
