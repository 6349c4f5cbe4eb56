"""What was predicted, for whom, and what the data looked like."""

from typing import Any

import pandas as pd

from hemexp.formatting import count, num
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles
from hemexp.report.texts import problem

_CLOCKS = {"onset": "symptom onset", "baseline": "the first scan"}
_REASONS = {
    "no_followup": "no scan after the first",
    "no_scan_in_window": "no later scan within the window",
}
_PARTS = {  # key: (title, what it is for)
    "train": ("Training", "the model learned from them"),
    "val": ("Validation", "decided when to stop"),
    "test": ("Test", "never seen in training"),
    "unused": ("Set aside", "outcome known, in neither part"),
}


def predicted(run: RunFiles) -> Block | None:
    """Return the section on the outcome: its definition, window and clock, and the inputs."""
    rows: list[tuple[str, str]] = []
    if run.block("label_definition"):
        rows.append(("Hematoma expansion means", str(run.block("label_definition"))))
    rows += run.build("config", _settings) or []
    if run.block("input_group"):
        rows.append(("Group of inputs", str(run.block("input_group"))))
    inputs = run.result.get("num_features")
    if inputs is not None:
        rows.append(("Number of inputs", count(inputs)))
    rows.append(("What the model gives", "a probability of expansion, from 0 to 1, for each patient"))
    return section("predicted", "What was predicted", [table("", ["", ""], rows)])


def _settings(config: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    label, model = config.get("label") or {}, config.get("model") or {}
    if label.get("window_hours") is not None:
        clock = _CLOCKS.get(str(label.get("clock")), "an unknown start")
        rows.append(("Window and clock", f"{label['window_hours']:g} hours, counted from {clock}"))
    if label.get("no_scan_in_window"):
        taken = "taken as no expansion" if label["no_scan_in_window"] == "negative" else "left out"
        rows.append(("Later scans, but none in the window", taken))
    settings = ", ".join(f"{key} {value}" for key, value in model.items() if key != "name")
    if model.get("name"):
        rows.append(("Model", f"{model['name']}{f' ({settings})' if settings else ''}"))
    return rows


def patients(run: RunFiles) -> Block | None:
    """Return the section on who takes part: flow, then table one."""
    return section("patients", "Patients", [run.build("flow", lambda flow: _flow(run, flow)), _table_one(run)])


def _flow(run: RunFiles, flow: dict[str, Any]) -> Block:
    unlabelled = {_REASONS.get(why, why.replace("_", " ")): n for why, n in (flow["unlabelled"] or {}).items()}
    lost = sum(unlabelled.values())
    parts = []
    for key, (title, meaning) in _PARTS.items():
        number, events = flow.get(key), run.result.get(f"events_{key}")
        if number or key in {"train", "test"}:
            known = f"{count(events)} with expansion" if events is not None else ""
            parts.append({"title": title, "number": count(number), "events": known, "meaning": meaning})
    folds = run.build("cross_validation", _folds)
    return {
        "kind": "flow",
        "patients": count(flow["patients"]),
        "lost": count(lost),
        "reasons": [f"{count(n)}: {why}" for why, n in unlabelled.items() if n],
        "labelled": count(flow["patients"] - lost),
        "parts": parts,
        "folds": folds or "",
    }


def _folds(block: dict[str, Any]) -> str:
    within = " within the training part" if block.get("patients") == "train" else ""
    return (
        f"Cross-validation{within}: {count(block['num_patients'])} patients ({count(block['events'])} with expansion), "
        f"{block['num_folds']} folds, {block['num_repeats']} times, {count(block['num_fits'])} fits"
    )


def _table_one(run: RunFiles) -> Block | None:
    found = run.tables.get("characteristics")
    if found is None:
        return None
    names = ["variable", "overall", "no expansion", "expansion", "missing"]
    rows = [[*row[names].fillna("–"), num(row["SMD"])] for _, row in found.iterrows()]
    note = (
        "Patients of the training and test parts, at their first scan. Median (quartiles) or number (percent of "
        "those known). SMD: standardized mean difference, expansion minus no expansion; beyond ±0.1 is often "
        "called imbalanced."
    )
    return table("Characteristics of the patients", ["", *names[1:], "SMD"], rows, note)


def quality(run: RunFiles) -> Block | None:
    """Return the section on data-quality findings: how many of each kind, and what that means."""
    found = run.tables.get("quality")
    if found is not None:
        counts = {str(code): int(n) for code, n in found["problem"].value_counts().items()}
    else:
        counts = run.build("data", lambda data: {str(k): int(n) for k, n in (data.get("findings") or {}).items()})
        if counts is None:
            return None
    if not counts:
        return section("quality", "Data quality", [text("Reading the cohort's files gave no findings.")])
    order = sorted(counts, key=lambda code: (-counts[code], code))
    rows = [[code.replace("_", " "), count(counts[code]), problem(code)] for code in order]
    caption = f"{count(sum(counts.values()))} findings of {len(counts)} kinds"
    blocks = [text("Everything unusual in the cohort's files that reading them came across."),
              table(caption, ["finding", "count", "what it means"], rows)]  # fmt: skip
    return section("quality", "Data quality", blocks)


def single_patients(run: RunFiles) -> Block | None:
    """Return the section with single patients: predictions of the test part, and findings with their cells."""
    blocks: list[Block | None] = [text("Asked for by report.patients=true: not for publication.", "warn")]
    predictions, intervals = run.tables.get("predictions"), run.tables.get("uncertainty")
    if predictions is not None:
        test = predictions[predictions["role"] == "test"]
        if intervals is not None:
            bounds = intervals.drop_duplicates("patient_id")[["patient_id", "low", "high"]]
            test = test.merge(bounds, how="left", on="patient_id")
        blocks.append(_predictions(test.sort_values("probability", ascending=False)))
    found = run.tables.get("quality")
    if found is not None and len(found):
        head = ["patient", "problem", "file", "sheet", "cell", "value", "message"]
        shown = found.fillna("")
        shown["cell"] = shown["column"] + shown["row"]
        shown["problem"] = shown["problem"].str.replace("_", " ")
        rows = shown[["patient_id", *head[1:]]].to_numpy().tolist()
        blocks.append(table("Data-quality findings with their cells", head, rows))
    return section("single", "Single patients", blocks)


def _predictions(test: pd.DataFrame) -> Block:
    outcome = {1.0: "expansion", 0.0: "no expansion"}
    with_interval = "low" in test
    head = ["patient", "risk", *(["Venn-Abers pair"] if with_interval else []), "outcome"]
    rows = []
    for _, row in test.iterrows():
        span = [f"{num(row['low'])} to {num(row['high'])}"] if with_interval else []
        rows.append([row["patient_id"], num(row["probability"]), *span, outcome.get(row["label"], "unknown")])
    return table("Test patients, highest risk first", head, rows)
