"""The TRIPOD+AI checklist, filled in as far as the run's files go (Collins et al., BMJ 2024;385:e078378)."""

from typing import Any

from hemexp.formatting import count
from hemexp.report.blocks import Block, section, text
from hemexp.report.run.headline import run_cards
from hemexp.report.run.read import RunFiles
from hemexp.report.run.reproduce import command
from hemexp.report.texts import claim_words, load_texts

DONE, PARTLY, AUTHOR, NONE = "filled in", "partly", "author must fill", "does not apply"


def checklist(run: RunFiles) -> Block | None:
    """Return the section with the 52 rows."""
    rows = checklist_rows(run)
    counts = {status: sum(row["status"] == status for row in rows) for status in (DONE, PARTLY, AUTHOR, NONE)}
    words = (
        "TRIPOD+AI is the reporting standard for prediction models (Collins et al., BMJ 2024;385:e078378; its 27 items "
        f"have 52 rows, worded here in short). From the run's files, {counts[DONE]} rows are filled in and "
        f"{counts[PARTLY]} partly; {counts[AUTHOR]} are for the author to fill; {counts[NONE]} do not apply."
    )
    return section("checklist", "TRIPOD+AI checklist", [text(words), {"kind": "checklist", "rows": rows}])


def checklist_rows(run: RunFiles) -> list[dict[str, str]]:
    """Return each row with its status, what the page shows, and what is left to the author."""
    known = _facts(run)
    rows = []
    for row in load_texts("tripod_ai"):
        filled, left = "", ""
        if "none" in row:
            status, filled = NONE, row["none"]
        elif "filled" in row and all(known.get(need) for need in row["needs"]):
            filled, left = (row.get(key, "").format_map(known) for key in ("filled", "author"))
            status = PARTLY if left else DONE
        else:
            status = AUTHOR
        rows.append({"item": row["item"], "part": row["part"], "asks": row["asks"], "status": status,
                     "filled": filled, "left": left})  # fmt: skip
    return rows


def _facts(run: RunFiles) -> dict[str, str]:
    """Return what the files show, by the names that the checklist needs; empty where they do not."""
    config = run.build("config", lambda block: {key: (block.get(key) or {}) for key in ("features", "model", "split")})
    names = {key: str(part.get("name") or "") for key, part in (config or {}).items()}
    size = run.build("sample_size", lambda block: {True: "enough", False: "too few"}.get(block["adequate"], ""))
    described = run.tables.get("characteristics")
    treatments = described is not None and described["variable"].str.startswith("treatment").any()
    found = run.tables.get("quality")
    findings = (
        len(found) if found is not None else run.build("data", lambda data: sum((data.get("findings") or {}).values()))
    )
    return {
        "label": str(run.block("label_definition") or ""),
        "data": run.build("data", lambda block: str(block["kind"])) or "",
        "data_hash": str(run.result.get("data_hash") or "unknown"),
        "flow": "there" if run.block("flow") else "",
        "characteristics": "there" if described is not None else "",
        "treatments": "there" if treatments else "",
        "quality": count(findings) if findings is not None else "",
        "sample_size": size or "",
        "subgroups": "there" if run.block("subgroups") else "",
        "thresholds": "there" if run.block("thresholds") else "",
        "checkpoint": "there" if run.has_checkpoint else "",
        "predictions": "there" if "predictions" in run.tables else "",
        "claim": run.build("claim", _claim) or "",
        "limits": "there",
        "command": command(run) or "",
        "hemexp": run.build("versions", lambda block: str(block.get("hemexp") or "")) or "",
        "features": str(run.block("input_group") or names.get("features", "")),
        "model": names.get("model", ""),
        "preprocessing": run.build("config", _preprocessing) or "",
        **_design(run, names.get("split", "")),
        **_performance(run),
    }


def _preprocessing(config: dict[str, Any]) -> str:
    clip = (config.get("features") or {}).get("clip")
    if clip is None or (config.get("model") or {}).get("name") in {"brain", "prevalence"}:  # raw values, or none
        return ""
    return f"inputs scaled by mean and standard deviation of the training part, cut off at {clip:g} standard deviations"


def _claim(claim: dict[str, Any]) -> str:
    return f"by AUROC {claim_words(claim['auroc'])}, by Brier score {claim_words(claim['brier'])}"


def _design(run: RunFiles, split: str) -> dict[str, str]:
    parts = {part: (run.result.get(f"num_{part}"), run.result.get(f"events_{part}")) for part in ("train", "test")}
    there = [f"{count(n)} {part} ({count(e)} with expansion)" for part, (n, e) in parts.items() if None not in (n, e)]
    folds = run.build("cross_validation", lambda b: f"{b['num_folds']}-fold cross-validation, {b['num_repeats']} times")
    analyses = run.build("cross_validation", lambda b: f"{b['num_patients']} cross-validated ({b['events']})")
    return {
        "split": "; ".join(
            ([f"split “{split}”: {', '.join(there)}"] if split and there else []) + ([folds] * bool(folds))
        ),
        "counts": ", ".join(there + ([analyses] * bool(analyses))),
        "validation": folds or "no cross-validation",
    }


def _performance(run: RunFiles) -> dict[str, str]:
    scored: Any = run_cards(run)
    sections = {"cv/": "Results of cross-validation", "test/": "Results in the test part"}
    metrics = run.block("metrics") or {}
    shown = [title for key, title in sections.items() if any(str(name).startswith(key) for name in metrics)]
    names = {
        "calibration": "calibration",
        "comparison": "corrected differences from baselines",
        "subgroups": "subgroups",
    }
    more = [name for key, name in names.items() if run.block(key)]
    more += ["net benefit"] if "decision_curve" in run.tables else []
    return {
        "metrics": "there" if scored and shown else "",
        "measures": ", ".join(["AUROC, AUPRC, Brier score, log loss, accuracy with intervals", *more]),
        "performance": ", ".join([*shown, *(["Subgroups"] if run.block("subgroups") else [])]),
        "performance_left": "" if run.block("subgroups") else "key subgroups",
    }
