"""The TRIPOD+AI checklist, filled in from the files of the run (Collins et al., BMJ 2024;385:e078378)."""

from typing import Any

from hemexp.config import MODELS, NetworkConfig
from hemexp.files.result import RunResult
from hemexp.formatting import count, plural, score_text
from hemexp.report.blocks import Block, load_texts, section, text
from hemexp.report.run.headline import claim_text, is_defined, model_name
from hemexp.report.run.read import RunFiles
from hemexp.report.run.reproduce import command
from hemexp.report.run.update_section import METHODS

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
    shown = [text(words), {"kind": "checklist", "rows": rows}]
    return section("checklist", "TRIPOD+AI checklist", shown, folded=True)


def checklist_rows(run: RunFiles) -> list[dict[str, str]]:
    """Return each row with its status, the content of the page, and the part that the author must add."""
    known = _facts(run)
    rows = []
    for row in load_texts("tripod_ai"):
        filled, left = "", ""
        if "filled" in row and all(known.get(need) for need in row["needs"]):
            filled, left = (row.get(key, "").format_map(known) for key in ("filled", "author"))
            status = PARTLY if left else DONE
        elif "none" in row:
            status, filled = NONE, row["none"]
        else:
            status = AUTHOR
        asked = {key: row[key] for key in ("item", "part", "asks")}
        rows.append({**asked, "status": status, "filled": filled, "left": left})
    return rows


def _facts(run: RunFiles) -> dict[str, str]:
    """Return the facts in the files of the run, by the names in the checklist; an unknown fact is an empty text."""
    result, described = run.result, run.tables.get("characteristics")
    treatments = described is not None and described["variable"].str.startswith("treatment").any()
    size, claim = result.sample_size, result.claim
    facts = {
        "label": result.label_definition,
        "data": result.data.kind,
        "data_hash": result.data_hash,
        "flow": "shown",
        "characteristics": "shown" if described is not None else "",
        "treatments": "shown" if treatments else "",
        "quality": count(sum(result.data.findings.values())),
        "sample_size": "" if size is None else "enough" if size.adequate else "too few",
        "subgroups": "shown" if result.subgroups else "",
        "num_centers": plural(result.data.num_centers, "center") if result.data.num_centers else "",
        "centers": _centers(result),
        "by_center": plural(len(result.by_center.centers), "center") if result.by_center else "",
        "thresholds": "shown" if result.thresholds else "",
        "checkpoint": "shown" if run.has_checkpoint else "",
        "predictions": "shown" if "predictions" in run.tables else "",
        "claim": f"by AUROC {claim_text(claim.auroc)}, by Brier score {claim_text(claim.brier)}" if claim else "",
        "limits": "shown",
        "command": command(run),
        "hemexp": result.versions.get("hemexp", ""),
        "features": result.input_group,
        "model": _model(run),
        "imbalance": _imbalance(result),
        "preprocessing": _preprocessing(result.config),
    }
    return facts | _design(run) | _performance(run) | _update(result)


def _centers(result: RunResult) -> str:
    """Return how differences between centers were handled; empty where they were not."""
    split, by_center = result.config.get("split") or {}, result.by_center
    texts = [f"the center {split.get('center')} is the test part"] if split.get("name") == "center" else []
    if by_center is not None:
        is_same = bool(result.update) and result.updated_from[0].method == "none"
        who = "the same model as in" if is_same else "an update by" if result.update else "a model of"
        texts.append(
            f"each of {len(by_center.centers)} centers was left out once and scored by "
            f"{who} the others; "
            "random-effects mean and prediction interval → Does it work in every center?"
        )
    return "; ".join(texts)


def _model(run: RunFiles) -> str:
    networks = int(run.result.config.get("ensemble") or 1)
    return f"model “{model_name(run)}”{f', the mean of {networks} networks,' * (networks > 1)}"


def _imbalance(result: RunResult) -> str:
    """Return what was done about rare outcomes; empty for a model or a loss from outside, whose code may do more."""
    config = result.config
    name, loss = str((config.get("model") or {}).get("name")), (config.get("loss") or {}).get("name", "cross_entropy")
    is_own = name in MODELS and MODELS[name].target
    if not is_own or loss == "custom":
        return ""
    weights = {
        "weighted": "the loss gives both outcomes the same total weight",
        "focal": "the focal loss gives patients with a clear outcome less weight",
    }
    used = weights.get(loss, "") if issubclass(MODELS[name].schema, NetworkConfig) else ""
    risks = "not recalibrated"
    if config.get("calibrate") == "logistic":
        risks = "recalibrated by cross-validation within the training part"
    if any(step.method in {"intercept", "intercept_slope"} for step in result.updated_from):
        risks = "recalibrated in the patients of the update"
    return f"{used or 'nothing was over- or undersampled or weighted by outcome'}; risks were {risks}"


def _preprocessing(config: dict[str, Any]) -> str:
    clip = (config.get("features") or {}).get("clip")
    if clip is None or (config.get("model") or {}).get("name") in {"brain", "prevalence"}:  # raw values, or no inputs
        return ""
    return f"inputs scaled by mean and standard deviation of the training part, limited to {clip:g} standard deviations"


def _design(run: RunFiles) -> dict[str, str]:
    result, design = run.result, run.result.cross_validation
    counts = [
        f"{count(result.num_train)} train ({count(result.events_train)} with expansion)",
        f"{count(result.num_test)} test ({count(result.events_test)} with expansion)",
    ]
    split = f"split “{(result.config.get('split') or {}).get('name')}”: {', '.join(counts)}"
    parts = f"one cohort, outcome and inputs for both; {split}"
    if result.updated_from:
        step = result.updated_from[0]
        counts = [f"{count(step.num_patients)} new patients ({count(step.events)} with expansion) in the update"]
        split = f"update: {counts[0]}, and in its evaluation by cross-validation"
        parts = (
            f"the model before the update: {count(step.num_train)} patients ({count(step.events_train)} with "
            f"expansion); {split}; the same outcome and inputs"
        )
    facts = {"split": split, "parts": parts, "counts": ", ".join(counts), "validation": "no cross-validation"}
    if design is None:
        return facts
    folds = f"{design.num_folds}-fold cross-validation, {plural(design.num_repeats, 'time')}"
    analyses = f"{design.num_patients} cross-validated ({design.events})"
    return {**facts, "split": f"{split}; {folds}", "counts": ", ".join([*counts, analyses]), "validation": folds}


def _update(result: RunResult) -> dict[str, str]:
    """Return how the model was updated, and how good the update is; nothing for a run of train.py."""
    if result.update is None:
        return {}
    methods = [METHODS[step.method] for step in reversed(result.updated_from)]
    chosen = "chosen by closed testing" if result.updated_from[0].asked_for == "auto" else "as asked for"
    times = plural(result.update.num_repeats, "time")
    design = f"{result.update.num_folds}-fold cross-validation of the whole update, {times}"
    updated, original, _ = result.update.comparison
    scores = (
        f"AUROC {score_text(updated.auroc, 3)}, before {score_text(original.auroc, 3)}; Brier score "
        f"{score_text(updated.brier, 3)}, before {score_text(original.brier, 3)}"
    )
    return {"update": f"{'; then '.join(methods)} (the last one {chosen}); {design}", "update_results": scores}


def _performance(run: RunFiles) -> dict[str, str]:
    result = run.result
    more = [
        *(["calibration"] if result.calibration else []),
        *(["corrected differences from baselines"] if result.comparison else []),
        *(["corrected differences from the model before the update"] if result.update else []),
        *(["subgroups"] if result.subgroups else []),
        *(["net benefit"] if "decision_curve" in run.tables else []),
    ]
    return {
        "metrics": "shown" if any(map(is_defined, result.metrics.values())) else "",
        "measures": ", ".join(["AUROC, AUPRC, Brier score, log loss, accuracy with intervals", *more]),
        "performance": ", ".join(["Ranking", *(["Subgroups"] if result.subgroups else [])]),
        "performance_left": "" if result.subgroups else "key subgroups",
    }
