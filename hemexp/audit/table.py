"""The rows, inputs and outcomes that a protocol starts from."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import Cohort
from hemexp.config import FeaturesConfig, FractionSplitConfig, GrowthLabelConfig, ProtocolConfig
from hemexp.data.features import check_mapped_inputs, choose_inputs, input_table
from hemexp.data.leaks import find_leaky_inputs
from hemexp.data.split import split_patients
from hemexp.errors import UserError
from hemexp.types import Array

RAW_UNITS = 0.001  # mL in 10^-3 mL: a threshold that was meant in mL and is applied to raw numbers is this much smaller
_HOURS = 48.0  # of later volumes that are taken for inputs
_UNCLEAR = (0.5, 1.5)  # times the threshold


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a protocol.

    Attributes:
        inputs: (R, F), NaN where a value is missing.
        labels: (R,) 1 or 0.
        groups: (R,) number of the patient of each row.
        names: of the inputs.
    """

    inputs: Array
    labels: Array
    groups: Array
    names: tuple[str, ...]

    def take(self, rows: Array) -> "Table":
        """Return some of the rows, some of them perhaps several times."""
        return replace(self, inputs=self.inputs[rows], labels=self.labels[rows], groups=self.groups[rows])


@dataclass(frozen=True, eq=False)
class AuditData:
    """The cohort of an audit.

    Attributes:
        cohort: the checked tables.
        label: the definition of the outcome.
        patients: table indices of the patients that are divided: those with an outcome, in table order.
        names: of the inputs.
    """

    cohort: Cohort
    label: GrowthLabelConfig
    patients: Array
    names: tuple[str, ...]

    def outcomes(self, label: GrowthLabelConfig, volume: str = "HM_volume") -> Array:
        """Return the outcome of every patient of the cohort, (N,), by a definition of growth of a volume."""
        scans = self.cohort.scans
        if volume != "HM_volume":
            scans = scans.assign(HM_volume=scans[volume])
        return label_patients(scans, label)["expansion"].to_numpy(dtype=float)


def build_audit_data(cohort: Cohort, label: GrowthLabelConfig, features: FeaturesConfig) -> AuditData:
    """Return the patients with an outcome, and the inputs that the training part of the paper's split has.

    Raises:
        UserError: the cohort lacks volumes or inputs, too few patients have an outcome, or an input is not known at the
            first scan.
    """
    labels = label_patients(cohort.scans, label, cohort.mapping)
    split = split_patients(cohort.patients, labels["expansion"], FractionSplitConfig("paper"), 0)
    patients = np.array(sorted(split.indices("train") + split.indices("test")))
    names = choose_inputs(cohort, features, split.indices("train")).names
    check_mapped_inputs(cohort.mapping, names)
    leaky = find_leaky_inputs(cohort.scans, labels, names, input_table(cohort.patients, names).to_numpy())
    for name, each in leaky.items():
        raise UserError(
            f"features: the input {name} agrees with {each.agrees_with} (leak {each.leak}); rule: every protocol is "
            "compared with an honest one, so that all inputs must be known at the first scan; remove it from the inputs"
        )
    return AuditData(cohort, label, patients, tuple(names))


def build_table(data: AuditData, protocol: ProtocolConfig, label: GrowthLabelConfig | None = None) -> Table:
    """Return the table of a protocol, before it is divided.

    Args:
        data: the cohort.
        protocol: rows, further inputs, outcome.
        label: another definition of the outcome than that of the audit.

    Raises:
        UserError: the cohort lacks what the protocol needs.
    """
    cohort, label = data.cohort, label or data.label
    volume = "HM_volume"
    if protocol.label == "raw_units":
        absolute = label.absolute_ml if label.absolute_ml is not None else 6.0
        label = replace(label, absolute_ml=absolute * RAW_UNITS)
    elif protocol.label == "edema":
        volume = "ED_volume"
    if volume not in cohort.scans:
        raise UserError(f"the cohort has no volume of the edema ({volume}), which this protocol needs")
    outcomes = data.outcomes(label, volume)
    chosen = data.patients[~np.isnan(outcomes[data.patients])]
    if protocol.drop_unclear:
        chosen = chosen[~_find_unclear(data, label)[chosen]]
    ids = cohort.patients["patient_id"]
    number = pd.Series(np.arange(len(ids)), index=ids.to_numpy())
    if protocol.rows == "scans":
        scans = cohort.scans[cohort.scans["patient_id"].isin(set(ids.iloc[chosen]))]
    else:
        scans = cohort.patients.iloc[chosen]
    groups = number[scans["patient_id"].to_numpy()].to_numpy()
    inputs = input_table(scans, data.names).to_numpy()
    names = data.names
    for name in protocol.inputs:
        added = _FURTHER[name](cohort)
        inputs = np.column_stack([inputs, added.to_numpy(dtype=float)[groups]])
        names = (*names, *added.columns)
    return Table(inputs, outcomes[groups], groups, names)


def _later_volumes(cohort: Cohort) -> pd.DataFrame:
    """Return the largest growth within 48 h of onset, in 10^-3 mL and as a share of the first volume, by patient."""
    scans = cohort.scans
    first = scans[scans["scan_index"] == 0].set_index("patient_id")["HM_volume"]
    later = scans[(scans["scan_index"] > 0) & (scans["hours_from_onset"] <= _HOURS)]
    growth = later.groupby("patient_id", sort=False)["HM_volume"].max() - first
    table = pd.DataFrame({"later_growth": growth, "later_growth_share": growth / first.where(first > 0)})
    return table.reindex(cohort.patients["patient_id"])


def _later_scans(cohort: Cohort) -> pd.DataFrame:
    """Return the number of later scans and the hours of the first and of the last one, for each patient."""
    scans = cohort.scans
    later = scans[scans["scan_index"] > 0].groupby("patient_id", sort=False)["hours_from_first_scan"]
    table = pd.DataFrame({"num_later": later.size(), "hours_to_second": later.min(), "hours_to_last": later.max()})
    return table.reindex(cohort.patients["patient_id"])


def _mrs_90d(cohort: Cohort) -> pd.DataFrame:
    if "mrs_90d" not in cohort.patients or cohort.patients["mrs_90d"].isna().all():
        raise UserError("the cohort has no mRS after 90 days (mrs_90d), which this protocol needs")
    return cohort.patients[["mrs_90d"]]


_FURTHER = {"later_volumes": _later_volumes, "later_scans": _later_scans, "mrs_90d": _mrs_90d}


def _find_unclear(data: AuditData, label: GrowthLabelConfig) -> Array:
    """Return which patients have grown by about the threshold, (N,)."""
    table = label_patients(data.cohort.scans, label)
    parts = []
    if label.absolute_ml is not None:
        parts.append(table["growth_ml"] / label.absolute_ml)
    if label.relative is not None:
        parts.append(table["growth_percent"] / (100 * label.relative))
    times = np.fmax.reduce([part.to_numpy(dtype=float) for part in parts])
    return np.asarray((times > _UNCLEAR[0]) & (times < _UNCLEAR[1]))
