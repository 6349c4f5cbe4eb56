"""Compare the paper (Yu 2024) with itself and with a cohort: one row for each contradiction, computed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from hemexp.audit.paper import (
    ABSENT,
    PROTOCOLS,
    PaperFits,
    compare_table,
    get_label,
    get_printed_table,
    is_published,
    list_differences,
    load_printed,
)
from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import Cohort
from hemexp.config.compose import label_definitions

_WRONG_ROW = "sub100"  # of Tables 1 and 2: compared by itself
_EVER = 8760.0  # hours: a window that holds every scan


@dataclass(frozen=True)
class Contradiction:
    """Two statements that should agree.

    Attributes:
        about: the subject.
        where: place of the printed statement.
        printed: what the paper prints there.
        found: what another place of the paper or the cohort says.
        confirmed: ``yes`` if they differ, ``no`` if they agree, or why they cannot be compared.
    """

    about: str
    where: str
    printed: str
    found: str
    confirmed: str


def contradictions(cohort: Cohort, fits: PaperFits | None = None) -> pd.DataFrame:
    """Return every contradiction of the paper with itself or with a cohort.

    A statement about a scan or patient is compared only if the cohort holds scans whose serials the paper prints.

    Args:
        cohort: with hematoma volumes.
        fits: of the network to this cohort; without them its accuracy is not compared.

    Returns:
        A row a comparison; see `Contradiction` for the columns.
    """
    rows = [*_compare_texts(), _compare_hours_of_two_tables()]
    if is_published(cohort):
        rows += [_count_scans(cohort), _check_clock(cohort), _check_background(cohort)]
        rows += [_check_values(cohort, number) for number in (1, 2)]
        rows += [_check_serials(cohort, number) for number in (2, 3, 4)]
        rows += [_check_volumes(cohort), _find_hours(cohort), *_check_outcomes(cohort), _check_accuracy(fits)]
    else:
        abouts = ["number of scans", "background of Sub100", "serials of Tables 2, 3 and 4", "hematoma volumes"]
        abouts += ["hours of Table 4", "outcomes of Table 5", "accuracy"]
        rows += [Contradiction(about, "", "", "no printed scan serial is found", ABSENT) for about in abouts]
    return pd.DataFrame([asdict(row) for row in rows])


def _answer(differ: bool, found: bool = True) -> str:
    return ABSENT if not found else "yes" if differ else "no"


def _compare_texts() -> Iterator[Contradiction]:
    for text in load_printed()["texts"]:
        (where, quote, value), (other, other_quote, other_value) = text["first"], text["second"]
        found = f"{other}: {other_value} ({other_quote})"
        yield Contradiction(text["about"], where, f"{value} ({quote})", found, _answer(value != other_value))


def _compare_hours_of_two_tables() -> Contradiction:
    """Look in Table 3 for the later scan that Table 4 gives hours for."""
    row, hours = get_printed_table(4).reset_index().iloc[-1], get_printed_table(3)["hours_from_onset"]
    place = list(hours.index).index(row["first_scan_serial"])
    first, later = hours.to_numpy(dtype=float)[place : place + 2]
    printed = row["hours_to_expansion"]
    found = f"Table 3, next scan: {later:.2f} h from onset, {later - first:.2f} h from the first scan"
    differ = min(abs(printed - later), abs(printed - later + first)) > 0.005
    where = f"Table 4, row {row['patient_id'].capitalize()}"
    return Contradiction("hours to expansion", where, f"{printed} h", found, _answer(differ))


def _count_scans(cohort: Cohort) -> Contradiction:
    printed, scans = load_printed()["merged"][0], cohort.scans
    missing = sum(~get_printed_table(3).index.isin(scans["scan_serial"]))
    found = f"{len(scans)} scans in the cohort"
    if missing:
        found += f"; {missing} of the scans printed in Table 3 are not in it, so it is not the whole cohort"
    confirmed = "cannot be checked: incomplete cohort" if missing else _answer(len(scans) != printed)
    return Contradiction("number of scans", "Section 3.1", f"{printed} rows", found, confirmed)


def _check_clock(cohort: Cohort) -> Contradiction:
    """Compare the hours of Table 3 with the hours from onset: section 2.1 counts from the surgery."""
    hours = compare_table(cohort, 3)["hours_from_onset"].dropna()
    same = int(((hours["printed"] - hours["cohort"]).abs() < 1e-4).sum())
    found = f"the hours of {same} of {len(hours)} scans in Table 3 are hours from onset"
    return Contradiction(
        "start of the time", "Section 2.1", "after surgery (术后)", found, _answer(same > 0, len(hours) > 0)
    )


def _check_background(cohort: Cohort) -> Contradiction:
    """Compare the last row of Table 1 with its patient, and find the patients with the printed values."""
    printed = get_printed_table(1).tail(1)
    patient, row = str(printed.index[0]), printed.iloc[0]
    differs = str(compare_table(cohort, 1).loc[patient, ("differs", "")])
    patients = cohort.patients.reindex(columns=["patient_id", *printed.columns])
    repeated = pd.DataFrame([row] * len(patients), index=patients.index)
    same = patients["patient_id"][list_differences(repeated, patients[printed.columns], 0.0) == ""]
    found = f"{patient} differs in: {differs or 'nothing'}; these values are those of {', '.join(same) or 'no patient'}"
    where = f"Table 1, row {patient.capitalize()}"
    text = ", ".join(f"{name} {value:g}" for name, value in row.items())
    return Contradiction("background", where, text, found, _answer(bool(differs), differs != ABSENT))


def _check_values(cohort: Cohort, number: int) -> Contradiction:
    """Compare the other values of Table 1, or those of the scans of Table 2 that are in the row of their patient."""
    table = compare_table(cohort, number).drop(index=_WRONG_ROW)
    differs = table["differs", ""]
    table = table[~differs.isin(["", ABSENT]) & ~differs.str.contains("scan_serial")]
    cells = [(str(key), name) for key, names in table["differs", ""].items() for name in names.split(", ")]
    printed, found = (
        "; ".join(f"{patient}: {name} {_show(table.loc[patient, (name, source)])}" for patient, name in cells)
        for source in ("printed", "cohort")
    )
    where = f"Table {number}, other rows"
    return Contradiction("values", where, printed or "as in the cohort", found or "the same", _answer(bool(cells)))


def _show(value: Any) -> str:
    return "missing" if pd.isna(value) else f"{value:g}"


def _check_serials(cohort: Cohort, number: int) -> Contradiction:
    """Find the patients that the printed serials of a table belong to."""
    table = get_printed_table(number).reset_index()
    name = "first_scan_serial" if number == 4 else "scan_serial"
    owner = table[name].map(cohort.scans.drop_duplicates("scan_serial").set_index("scan_serial")["patient_id"])
    wrong = table[owner.notna() & (owner != table["patient_id"])]
    pairs = [
        f"{serial} in row {row.capitalize()}" for serial, row in zip(wrong[name], wrong["patient_id"], strict=True)
    ]
    owners = [f"{serial}: {patient}" for serial, patient in zip(wrong[name], owner[wrong.index], strict=True)]
    found = f"{int(owner.notna().sum())} of {len(table)} scans are in the cohort"
    found += f"; {', '.join(owners)}" if owners else ", all of the patient printed"
    where, printed = f"Table {number}", "; ".join(pairs) or "every serial in the row of its patient"
    return Contradiction("patient of a scan", where, printed, found, _answer(len(wrong) > 0, bool(owner.notna().any())))


def _check_volumes(cohort: Cohort) -> Contradiction:
    """Compare the volumes of Table 3 with those of the same scan, and with those of the row before it."""
    scans = cohort.scans.reindex(columns=["scan_serial", "HM_volume", "ED_volume"])
    scans = scans.assign(before=scans["HM_volume"].shift()).set_index("scan_serial")
    table = get_printed_table(3)
    table = table[table.index.isin(scans.index)]
    scans = scans.loc[table.index]
    moved = (table["HM_volume"] != scans["HM_volume"]) & (table["HM_volume"] == scans["before"])
    rows = ", ".join(f"{serial}: {volume:g}" for serial, volume in table.loc[moved, "HM_volume"].items())
    counts = [int((table[name] == scans[name]).sum()) for name in ("HM_volume", "ED_volume")]
    found = (
        f"of {len(table)} scans, {counts[0]} have their own hematoma volume and {int(moved.sum())} that of the row "
        f"before; {counts[1]} have their own edema volume"
    )
    return Contradiction(
        "hematoma volume", "Table 3", rows or "own volumes", found, _answer(bool(moved.any()), len(table) > 0)
    )


def _find_hours(cohort: Cohort) -> Contradiction:
    """Search for a scan at the hours that the last row of Table 4 prints."""
    row = get_printed_table(4).tail(1)
    printed = float(row["hours_to_expansion"].iloc[0])
    hours = cohort.scans["hours_from_onset"]
    nearest = cohort.scans.assign(gap=(hours - printed).abs()).sort_values("gap").iloc[0]
    at = f"nearest: {nearest['patient_id']} at {nearest['hours_from_onset']:.2f} h"
    count = int(((hours - printed).abs() <= 0.005).sum())
    found = f"{count} of {len(hours)} scans are at this time from onset; {at}"
    where = f"Table 4, row {str(row.index[0]).capitalize()}"
    return Contradiction("hours to expansion", where, f"{printed} h", found, _answer(count == 0))


def _check_outcomes(cohort: Cohort) -> Iterator[Contradiction]:
    """Compare the real outcomes of Table 5 with the definition of section 2.1, and with every other definition."""
    printed = get_printed_table(5)["expansion"]
    labels = label_patients(cohort.scans, get_label()).set_index("patient_id")
    later = label_patients(cohort.scans, replace(get_label(), window_hours=_EVER)).set_index("patient_id")
    first = cohort.patients.set_index("patient_id")["hours_from_onset"]
    for patient, outcome in zip(map(str, printed.index), printed, strict=True):
        where, text = f"Table 5, row {patient}", f"expansion {outcome}"
        if patient not in labels.index or pd.isna(labels["expansion"][patient]):
            yield Contradiction("outcome", where, text, "the cohort has no outcome", ABSENT)
            continue
        row = labels.loc[patient]
        found = f"expansion {row['expansion']:.0f}: {row['growth_ml']:+.1f} mL, {row['growth_percent']:+.0f} %"
        if row["expansion"] == 1:
            found += f" at {row['hours_to_expansion']:.1f} h from onset"
        elif later["expansion"][patient] == 1:
            hours = later["hours_to_expansion"][patient]
            found += f" within 48 h; reached only at {hours:.1f} h from onset, {hours - first[patient]:.1f} h from the "
            found += "first scan"
        yield Contradiction("outcome", where, text, found, _answer(row["expansion"] != outcome))
    definitions = label_definitions()
    tables = [label_patients(cohort.scans, each).set_index("patient_id") for each in definitions.values()]
    outcomes = [table["expansion"].reindex(printed.index) for table in tables]
    same = [name for name, each in zip(definitions, outcomes, strict=True) if each.eq(printed).all()]
    found = f"{len(same)} of {len(definitions)} definitions give all of them{': ' if same else ''}{', '.join(same)}"
    text = ", ".join(f"{patient} {outcome}" for patient, outcome in printed.items())
    yield Contradiction("outcomes together", "Table 5", text, found, _answer(not same))


def _check_accuracy(fits: PaperFits | None) -> Contradiction:
    """Compare the printed accuracy with that of the network in patients that it has not learned from."""
    printed = load_printed()
    where, text = (
        "Sections 3.2 and 3.4",
        f"{printed['accuracy']} % of unseen patients, training loss {printed['loss'][-1][1]}",
    )
    if fits is None:
        return Contradiction("accuracy", where, text, "no network was trained", "not computed")
    table = fits.summary()
    parts = [f"learned from {name}: {table['mean'][name]:.1f} of {table['of'][name]} right" for name in PROTOCOLS]
    best = table["max"][next(iter(PROTOCOLS))]
    found = f"{'; '.join(parts)} (mean of {fits.scores['seed'].nunique()} seeds)"
    return Contradiction("accuracy", where, text, found, _answer(bool(best < table["printed"].iloc[0])))
