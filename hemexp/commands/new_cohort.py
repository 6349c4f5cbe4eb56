"""The cohort that a trained model is applied to or updated with: its tables, its outcome, and the patients it knows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.cohort.labels import can_label, check_outcome_values, label_patients
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.cohort.mapping.mapping import OpenQuestions
from hemexp.cohort.pseudonyms import get_check_value
from hemexp.commands.model_card import TrainedModel
from hemexp.config import ColumnLabelConfig, LabelConfig, PredictConfig, UpdateConfig, build_label
from hemexp.data.features import check_mapped_inputs, input_table
from hemexp.data.leaks import find_label_leak, find_leaky_inputs
from hemexp.data.recognition import ID, RECOGNITION, describe_equal_values, read_own_scans, read_roles, recognize
from hemexp.errors import UserError
from hemexp.evaluation.earlier_patients import find_run_ancestors
from hemexp.files.model_folder import ModelCard
from hemexp.metrics.own import TORCHMETRICS, get_metrics, is_registered
from hemexp.metrics.table import Metric
from hemexp.types import Array

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class NewCohort:
    """A cohort, as a trained model sees it.

    Attributes:
        cohort: the checked tables.
        label: the outcome of the model.
        labels: as `label_patients` returns them; None where the cohort does not hold the outcome.
        raw: (N, F) inputs of the model, NaN where a value is missing.
        own: role of each patient in the run, as `recognize` returns it; earlier training patients have ``train``.
        unrecognized: why patients of the run may not be recognized; empty where all are.
    """

    cohort: Cohort
    label: LabelConfig
    labels: pd.DataFrame | None
    raw: Array
    own: pd.DataFrame
    unrecognized: str


def read_new_cohort(cfg: PredictConfig | UpdateConfig, run: Path, model: TrainedModel) -> NewCohort:
    """Read a cohort, and recognize the patients of the run, and of the runs that it came from.

    Raises:
        UserError: the cohort cannot be used, or a file of the run is damaged.
    """
    cohort, label, features = _load(cfg, run), build_label(model.card.label), model.predictor.features
    labels = None
    if can_label(cohort.scans, label, cohort.mapping):
        check_outcome_values(cohort.scans, label, model.card.label_values, cohort.mapping)
        if isinstance(label, ColumnLabelConfig) and label.positive and not model.card.label_values:
            log.warning(
                "warning: the run is of an earlier version, which did not keep the words of its outcome: every value "
                "other than %r counts as no", label.positive
            )  # fmt: skip
        labels = label_patients(cohort.scans, label, cohort.mapping)
    check_mapped_inputs(cohort.mapping, features)
    raw = input_table(cohort.patients, features).to_numpy()
    key = get_check_value(cfg.privacy.pseudonymize)
    digest = model.result.recognition_digest if model.result else None
    own, unrecognized = _recognize(cfg.recognize, run, digest, cohort.scans)
    if model.result is not None and cfg.recognize != "off":
        earlier = find_run_ancestors(run, model.result, cohort.scans, key)
        for index, by in earlier.recognized_by.items():
            own.loc[index, ["role", "recognized_by", "run_patient"]] = "train", by, ""
        unrecognized = unrecognized or earlier.unknown
    if other_names := model.explain_unrecognized(key):
        own["run_patient"] = ""  # an id beside its pseudonym would give the patient away
    if other_names or unrecognized:
        log.warning("warning: %s", other_names or unrecognized)
    return NewCohort(cohort, label, labels, raw, own, other_names or unrecognized)


def _load(cfg: PredictConfig | UpdateConfig, run: Path) -> Cohort:
    """Read the cohort; where its columns are not clear, name the mapping of the run."""
    try:
        return load_cohort(cfg.data, key_file=cfg.privacy.pseudonymize)
    except OpenQuestions as error:
        mapping = run / "mapping.yaml"
        if cfg.data.mapping is not None or not mapping.is_file():
            raise
        advice = f"or, for a file with the headers of the run, give its mapping: data.mapping={mapping}"
        raise UserError(f"{error}\n  {advice}") from None


def _recognize(by: str, run: Path, digest: str | None, scans: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the role of each patient in the run, as `recognize` does, and why patients may not be recognized.

    A run of an earlier version recognizes its patients by their ids alone.
    """
    ids = scans.loc[scans["scan_index"] == 0, "patient_id"].tolist()
    own = read_own_scans(run, digest) if by != "off" else None
    if own is not None:
        by_all = recognize(scans, own)
        by_ids = by_all if by == "measurements" else recognize(scans, own, by_measurements=False)
        number = int(((by_all["role"] != "") & (by_ids["role"] == "")).sum())
        who = "1 patient has" if number == 1 else f"{number} patients have"
        reason = f"recognize=ids: {who} the measurements of patients of the run, and may be scored as new"
        return by_ids, reason if number else describe_equal_values(scans, own, by_ids["role"].tolist())
    roles = read_roles(run) if by != "off" else {}
    rows = [(roles[name], ID, name) if name in roles else ("", "", "") for name in ids]
    table = pd.DataFrame(rows, columns=["role", "recognized_by", "run_patient"])
    if by == "off":
        return table, "recognize=off: training patients may be scored"
    how = "its patients are recognized by their ids alone" if roles else "its patients are not recognized"
    return table, f"the run has no {RECOGNITION}: {how}, and training patients may be scored"


def find_new_leak(
    cohort: Cohort, labels: pd.DataFrame, label: LabelConfig, names: Sequence[str], raw: Array
) -> str | None:
    """Return which leak the inputs or the outcome of the new patients have, as `hemexp.evaluation.folds.find_leak`."""
    leaky = find_leaky_inputs(cohort.scans, labels, names, raw)
    for name, each in leaky.items():
        log.warning("warning: the input %s agrees with %s in these patients", name, each.agrees_with)
    if leaky:
        return next(iter(leaky.values())).leak
    return find_label_leak(cohort.scans, labels, label, cohort.mapping) if labels["expansion"].notna().any() else None


def check_probabilities(predictions: pd.DataFrame, raw: Array, features: Sequence[str]) -> None:
    """Refuse predictions that are not probabilities.

    Raises:
        UserError: names the first patient, and the inputs whose values are not finite or are the largest.
    """
    risks = predictions["probability"].to_numpy()
    wrong = np.flatnonzero(~((risks >= 0) & (risks <= 1)))
    if not len(wrong):
        return
    row = raw[wrong[0]]
    suspects = np.flatnonzero(np.isinf(row))
    suspects = suspects if len(suspects) else np.argsort(-np.nan_to_num(np.abs(row)))[:3]
    values = ", ".join(f"{features[i]}={row[i]:g}" for i in suspects.tolist())
    more = f" (and {len(wrong) - 1} more patients)" if len(wrong) > 1 else ""
    raise UserError(
        f"patient {predictions['patient_id'].iloc[wrong[0]]}{more}: the model gives {risks[wrong[0]]:g}, not a "
        f"probability; largest inputs: {values or 'none'}; rule: 0 to 1; check these values and the model"
    )


def choose_metrics(trained: ModelCard, named: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics to compute: those of the run, and those that ``metrics=`` names.

    The files of a run may come from somebody else. Of the code that they name, only torchmetrics is imported, and what
    the user has named or registered.
    """
    sources, computed = list(named), get_metrics(named)
    for metric in trained.own_metrics:
        if metric.name in {each.name for each in computed}:
            continue
        if metric.source.startswith(TORCHMETRICS) or is_registered(metric.source):
            sources.append(metric.source)
            computed = get_metrics(sources)
        else:
            log.warning(
                "warning: %s, a metric of the run, is not computed: its code is imported only where you name it; add "
                "metrics=[%s] if you trust it", metric.text, ",".join([*named, metric.source])
            )  # fmt: skip
    return computed
