"""The new patients of an update: those of the other hospital with a known outcome, and what their files leak."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.commands.model_card import TrainedModel
from hemexp.commands.new_cohort import NewCohort, find_new_leak, read_new_cohort
from hemexp.config import UpdateConfig
from hemexp.data.split import number_persons
from hemexp.errors import UserError
from hemexp.evaluation.validation import has_leak
from hemexp.files.result import INCOMPLETE, LEAKAGE, NO_LEAKAGE
from hemexp.formatting import plural
from hemexp.types import Array

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class NewPatients:
    """The patients of the other hospital with a known outcome, in table order.

    Attributes:
        source: the cohort.
        all_labels: of its patients, as `label_patients` returns them.
        indices: their positions in the cohort.
        left_out: patients with a known outcome who are of an earlier cohort of the model, by their role there.
        without_values: inputs that have no value in any of them.
    """

    source: NewCohort
    all_labels: pd.DataFrame
    indices: Array
    left_out: dict[str, int]
    without_values: list[str]

    @cached_property
    def labels(self) -> Array:
        """The outcomes, 1 or 0."""
        return self.all_labels["expansion"].to_numpy(dtype=float)[self.indices]

    @cached_property
    def raw(self) -> Array:
        """The inputs of the model, NaN where a value is missing: (N, F)."""
        return self.source.raw[self.indices]

    @cached_property
    def ids(self) -> Array:
        """The names of the patients."""
        return self.all_labels["patient_id"].to_numpy()[self.indices]

    @cached_property
    def table(self) -> pd.DataFrame:
        """The first scan of each."""
        return self.source.cohort.patients.iloc[self.indices]

    @cached_property
    def groups(self) -> Array:
        """Numbers that are equal for all ids of one person: (N,)."""
        return number_persons(len(self.all_labels), self.source.cohort.same_patients)[self.indices]

    @property
    def events(self) -> int:
        """The number of patients with the outcome."""
        return int(self.labels.sum())

    @property
    def roles(self) -> list[str]:
        """The role of each patient of the cohort in the updated run."""
        known = self.all_labels["expansion"].notna().to_numpy()
        roles = np.where(known, "unused", "unlabelled")
        roles[self.indices] = "train"
        return [str(role) for role in roles]


def read_new_patients(cfg: UpdateConfig, run: Path, model: TrainedModel) -> NewPatients:
    """Read the cohort, and find the patients who are new to the model and have a known outcome.

    Raises:
        UserError: the cohort does not hold the outcome, or no patient is new.
    """
    source = read_new_cohort(cfg, run, model)
    place = f"data.root={cfg.data.root}" if cfg.data.root else "data=synthetic"
    if source.labels is None:
        raise UserError(
            f"{place}: does not hold the outcome of the model ({source.label.describe()}); rule: an update needs known "
            "outcomes; predict.py predicts without them"
        )
    roles = source.own["role"].replace("unlabelled", "")  # whose outcome was not known then
    known = source.labels["expansion"].notna()
    left_out = {str(role): int(count) for role, count in roles[known & (roles != "")].value_counts().items()}
    text = ", ".join(f"{count} {role}" for role, count in left_out.items())
    indices = np.flatnonzero(known & (roles == ""))
    without = [
        name for number, name in enumerate(model.predictor.features) if np.isnan(source.raw[indices, number]).all()
    ]
    found = NewPatients(source, source.labels, indices, left_out, without)
    if not len(found.indices):
        raise UserError(
            f"{place}: no new patient has a known outcome: {int(known.sum())} patients have one, all of them of the "
            f"run ({text or 'none'}); rule: a model is updated with patients of another hospital"
        )
    log.info("%d new patients, %d with the outcome (%s)", len(found.labels), found.events, source.label.describe())
    if found.without_values:
        log.warning(
            "warning: no new patient has a value of %s: the model takes the value of its training cohort instead",
            ", ".join(found.without_values),
        )
    if left := sum(left_out.values()):
        log.info("left out: %s of an earlier cohort of the model (%s)", plural(left, "patient"), text)
    return found


def find_verdict(patients: NewPatients, names: list[str], before: str) -> str:
    """Return the verdict: leaks of the inputs and of the new patients; leaks into the earlier test part do not count.

    Args:
        patients: of the update.
        names: of the inputs.
        before: the verdict of the model.
    """
    source = patients.source
    if has_leak(before):
        return before
    if leak := find_new_leak(source.cohort, patients.all_labels, source.label, names, source.raw):
        return f"{LEAKAGE}: {leak}"
    if source.unrecognized:
        return f"{INCOMPLETE}: {source.unrecognized}"
    return before if before.startswith(INCOMPLETE) else NO_LEAKAGE
