"""Sections on the outcome, the patients and the data quality."""

from collections import Counter

import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.find_column import describe_left_out, list_columns
from hemexp.formatting import count, num, plural
from hemexp.report.blocks import Block, problem_text, section, table, text
from hemexp.report.run.model import describe_model
from hemexp.report.run.read import RunFiles, figure, is_seen

_CLOCKS = {"onset": "symptom onset", "baseline": "the first scan"}
_COUNTED = set(c.IMAGING) - set(c.VOLUMES)  # territories and radiomics
_REASONS = {
    "no_followup": "no scan after the first",
    "no_scan_in_window": "no later scan within the window",
    "time_unknown": "the time of a later scan is unknown",
    "volume_unknown": "the volume of the first or of a later scan is unknown",
    "outcome_unknown": "no value in the column of the outcome",
}


def outcome(run: RunFiles) -> Block | None:
    """Return the section on the outcome, the inputs, the model and its training."""
    result, label = run.result, run.result.config.get("label") or {}
    rows = [("Hematoma expansion means", result.label_definition)]
    if label.get("window_hours") is not None:
        clock = _CLOCKS.get(str(label.get("clock")), "an unknown start")
        rows.append(("Window", f"{label['window_hours']:g} hours from {clock}"))
    if label.get("no_scan_in_window"):
        taken = "counted as no expansion" if label["no_scan_in_window"] == "negative" else "left out"
        rows.append(("Patients with later scans, but none in the window", taken))
    rows += [
        *describe_model(result),
        ("Group of inputs", result.input_group),
        ("Number of inputs", count(result.num_features)),
        *([("Inputs", _describe_inputs(result.inputs))] if result.inputs else []),
        *(
            [("Columns not used as inputs", describe_left_out(result.left_out_inputs))]
            if result.left_out_inputs
            else []
        ),
        *(
            [("Inputs with one value in the whole training part", _describe_inputs(result.constant_inputs))]
            if result.constant_inputs
            else []
        ),
        ("Output of the model", "a probability of expansion, from 0 to 1, for each patient"),
    ]
    return section("predicted", "What was predicted", [table("", ["", ""], rows), figure(run, "loss")], folded=True)


def _describe_inputs(names: list[str]) -> str:
    """Return the inputs by their meaning; the levels of a column together, territories and radiomics as numbers."""
    known, levels = c.known_columns(), Counter(name.partition("=")[0] for name in names if "=" in name)
    texts = {}
    for name in names:
        column = name.partition("=")[0] if "=" in name else name
        meaning = known[column].meaning if column in known and column not in _COUNTED else column
        texts[name if column != name and levels[column] < 2 else meaning] = levels[column]
    return list_columns([f"{text} ({number} levels)" if number > 1 else text for text, number in texts.items()])


def patients(run: RunFiles) -> Block | None:
    """Return the section on the patients: the flow chart, then table one."""
    words = f"Hematoma expansion means {run.result.label_definition}."
    return section("patients", "Patients: who was studied", [text(words), _flow(run), _table_one(run)])


def _flow(run: RunFiles) -> Block:
    result, flow = run.result, run.result.flow
    unlabelled = {_REASONS.get(reason, reason.replace("_", " ")): n for reason, n in flow.unlabelled.items()}
    excluded, use = sum(unlabelled.values()), "update" if result.update else "fit"
    if result.update and result.updated_from[0].method == "none":
        use = "check"
    parts = (
        ("Training", flow.train, result.events_train, f"used to {use} the model"),
        ("Validation", flow.val, None, "used to decide when to stop"),
        (
            "Test",
            flow.test,
            result.events_test,
            "used to fit the model, too" if is_seen(run) else "not used in training",
        ),
        ("Unused", flow.unused, None, "outcome known, in neither part"),
    )
    return {
        "kind": "flow",
        "patients": count(flow.patients),
        "lost": count(excluded),
        "reasons": [f"{count(n)}: {reason}" for reason, n in unlabelled.items() if n],
        "labelled": count(flow.patients - excluded),
        "parts": [
            {"title": title, "number": count(number), "meaning": meaning,
             "events": "" if events is None else f"{count(events)} with expansion"}
            for title, number, events, meaning in parts
            if number or title == "Training" or (title == "Test" and not result.update)
        ],
        "folds": _folds(run),
    }  # fmt: skip


def _folds(run: RunFiles) -> str:
    design = run.result.cross_validation
    if design is None:
        return ""
    within = " within the training part" if design.patients == "train" else ""
    return (
        f"Cross-validation{within}: {count(design.num_patients)} patients ({count(design.events)} with expansion), "
        f"{design.num_folds} folds, {plural(design.num_repeats, 'time')}, {count(design.num_fits)} fits"
    )


def _table_one(run: RunFiles) -> Block | None:
    found = run.tables.get("characteristics")
    if found is None:
        return None
    names = ["variable", "overall", "no expansion", "expansion", "missing"]
    rows = [[*row[names].replace("", "–"), num(row["SMD"])] for _, row in found.iterrows()]
    note = (
        "Patients of the training and test parts at their first scan. Median (quartiles) or number (percent of the "
        "known values). SMD: standardized mean difference, expansion minus no expansion; values beyond ±0.1 are often "
        "called imbalanced."
    )
    return table("", ["", *names[1:], "SMD"], rows, note, folded="Characteristics of the patients")


def quality(run: RunFiles) -> Block | None:
    """Return the section on the findings in the cohort's files: how many of each kind, and their meaning."""
    found = run.tables.get("quality")
    counts = run.result.data.findings
    if found is not None:
        cells = pd.to_numeric(found["count"]) if "count" in found else pd.Series(1, found.index)
        counts = {str(code): int(n) for code, n in cells.groupby(found["problem"]).sum().items()}
    if not counts:
        return section(
            "quality", "Data quality: faults in the files", [text("There are no findings in the files of the cohort.")]
        )
    order = sorted(counts, key=lambda code: (-counts[code], code))
    rows = [[code.replace("_", " "), count(counts[code]), problem_text(code)] for code in order]
    total, kinds = sum(counts.values()), len(counts)
    caption = f"{count(total)} finding{'s' * (total != 1)} of {kinds} kind{'s' * (kinds != 1)}"
    blocks = [text("Everything unusual in the files of the cohort."),
              table(caption, ["finding", "count", "meaning"], rows)]  # fmt: skip
    return section("quality", "Data quality: faults in the files", blocks)


def single_patients(run: RunFiles) -> Block | None:
    """Return the section on single patients: predictions of the test part, and findings with their cells."""
    blocks: list[Block | None] = [text("Requested by report.patients=true: not for publication.", "warn")]
    predictions, pairs = run.tables.get("predictions"), run.tables.get("uncertainty")
    if predictions is not None:
        test = predictions[predictions["role"] == "test"]
        if pairs is not None:
            ranges = pairs.drop_duplicates("patient_id")[["patient_id", "low", "high"]]
            test = test.merge(ranges, how="left", on="patient_id")
        blocks.append(_predictions(test.sort_values("probability", ascending=False)))
    found = run.tables.get("quality")
    if found is not None and len(found):
        head = ["patient", "problem", "file", "sheet", "cell", "value", "message"]
        shown = found.assign(cell=found["column"] + found["row"], problem=found["problem"].str.replace("_", " "))
        rows = shown[["patient_id", *head[1:]]].to_numpy().tolist()
        blocks.append(table("Data-quality findings with their cells", head, rows))
    return section("single", "Single patients", blocks)


def _predictions(test: pd.DataFrame) -> Block:
    columns = {"patient": test["patient_id"], "risk": test["probability"].map(num)}
    if "low" in test:
        columns["corrected risk, range"] = test["low"].map(num) + " to " + test["high"].map(num)
    columns["outcome"] = test["label"].map({1.0: "expansion", 0.0: "no expansion"}).fillna("unknown")
    return table("Test patients, highest risk first", list(columns), pd.DataFrame(columns).to_numpy().tolist())
