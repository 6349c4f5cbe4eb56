"""The top of the page, the headline numbers and the summary in plain words; and what limits them."""

from typing import Any

from hemexp.formatting import count, num, score_text
from hemexp.report.blocks import Block, bullets, section
from hemexp.report.run.read import RunFiles
from hemexp.report.texts import caveat, claim_words, load_texts, verdict_kind


def summary(run: RunFiles) -> str:
    """Return what was done and what came out, as one paragraph; a number stands beside its interval and baseline."""
    model = run.build("config", lambda config: (config.get("model") or {}).get("name")) or "unnamed"
    outcome = run.block("label_definition")
    cards = run_cards(run)
    parts = [
        f"This run trained the model “{model}” to estimate each patient's risk of hematoma expansion after "
        f"intracerebral hemorrhage{f', defined as {outcome},' if outcome else ''} and tried it on patients "
        "that it had not seen.",
        *(card["sentence"] for card in cards),
    ]
    if not cards:
        parts.append("The files hold no score with both an interval and a baseline, so none is headlined here.")
    claim = run.build("claim", lambda block: [claim_words(block[key]) for key in ("auroc", "brier")])
    if claim:
        parts.append(
            f"By AUROC, which judges the ranking, it is {claim[0]}; by Brier score, which judges the risks, {claim[1]}."
        )
    size = run.build(
        "sample_size",
        lambda block: (
            block["num_patients"],
            block["required_patients"],
            _adequate(block),
        ),
    )
    if size and size[2] is False and size[1] is not None:
        parts.append(
            f"A model of this size wants {count(size[1])} patients to learn from; there were {count(size[0])}."
        )
    return " ".join([*parts, _VERDICTS[verdict_kind(run.verdict)]])


def _adequate(block: dict[str, Any]) -> bool | None:
    """Return whether there are enough patients; None where nothing is fitted to them."""
    return block["adequate"] if block["num_parameters"] else None


_VERDICTS = {
    "HONEST": "Verdict: honest, which means that these numbers are fair estimates, whatever they say of the model.",
    "AUDIT": "Verdict: an audit of a known mistake, so these numbers are inflated and no measure of performance.",
    "INCOMPLETE": "Verdict: incomplete, so none of this is final.",
}


def run_cards(run: RunFiles) -> list[dict[str, str]]:
    """Return the headline numbers: only those that have an interval and a baseline."""
    found = run.build("metrics", lambda metrics: _cards(run, metrics)) or []
    return [card for card in found if card]


def _cards(run: RunFiles, metrics: dict[str, Any]) -> list[dict[str, str] | None]:
    constant = run.build("prevalence_baseline", lambda block: num(block["brier"], 3)) or ""
    stage, where, rival = "test", "the test part", ""
    if _defined(metrics.get("cv/auroc")):
        within = run.build("cross_validation", lambda block: block.get("patients") == "train")
        stage, where = "cv", f"cross-validation{' within the training part' if within else ''}"
        best = run.build("comparison", _best_baseline)
        rival = f", and the best of the simple baselines, {best[0]}, {score_text(best[1])}" if best else ""
        constant = run.build("comparison", _prevalence_brier) or ""
    majority = metrics.get(f"{stage}/majority_accuracy")
    return [
        _card("AUROC", where, metrics.get(f"{stage}/auroc"), 2, "A coin scores 0.50" + rival),
        _card("Brier score", where, metrics.get(f"{stage}/brier"), 3,
              constant and f"Lower is better; the same risk for everybody scores {constant}"),
        _card("accuracy", where, metrics.get(f"{stage}/accuracy"), 2,
              f"Always giving the more frequent answer scores {score_text(majority)}" if _defined(majority) else ""),
    ]  # fmt: skip


def _defined(value: Any) -> bool:
    return bool(value) and None not in (value["value"], value["low"], value["high"])


def _card(name: str, where: str, value: Any, digits: int, baseline: str) -> dict[str, str] | None:
    if not _defined(value) or not baseline:
        return None
    low, high = num(value["low"], digits), num(value["high"], digits)
    shown, interval = num(value["value"], digits), f"95 % interval {low} to {high}"
    return {
        "name": f"{name[0].upper()}{name[1:]} in {where}",
        "value": shown,
        "interval": interval,
        "baseline": f"{baseline}.",
        "sentence": f"In {where} its {name} was {shown} ({interval}); {baseline[0].lower()}{baseline[1:]}.",
    }


def _best_baseline(rows: list[dict[str, Any]]) -> tuple[str, dict[str, Any]] | None:
    known = [row for row in rows if not row["is_model"] and _defined(row["auroc"])]
    best = max(known, key=lambda row: row["auroc"]["value"], default=None)
    return (best["model"], best["auroc"]) if best else None


def _prevalence_brier(rows: list[dict[str, Any]]) -> str | None:
    return next(
        (score_text(row["brier"], 3) for row in rows if row["model"] == "prevalence" and _defined(row["brier"])), None
    )


def limits(run: RunFiles) -> Block | None:
    """Return what limits the conclusions, as far as the files show it."""
    items = (
        [] if verdict_kind(run.verdict) == "HONEST" else [load_texts("texts")["verdicts"][verdict_kind(run.verdict)]]
    )
    items += run.build("caveats", lambda codes: [caveat(code) for code in codes]) or []
    if run.build("sample_size", _adequate) is False:
        items.append("By the usual criteria for sample size there are too few patients for a model of this size.")
    events, total = run.result.get("events_test"), run.result.get("num_test")
    if events is not None and total is not None and min(events, total - events) < 100:
        items.append(
            f"The test part holds {count(events)} patients with expansion and {count(total - events)} without; fewer "
            f"than 100 of either are too few to validate a model, as the width of the intervals shows."
        )
    lost = run.build("flow", lambda block: sum((block["unlabelled"] or {}).values()))
    if lost:
        items.append(
            f"{count(lost)} patients without a known outcome are left out. If they differ from the others, the results "
            f"do not carry over to them."
        )
    items.append(
        "All patients come from the one cohort that the run read, training and test alike: there is no external "
        "validation. The files do not say how many hospitals it comes from, nor whether it was collected prospectively."
    )
    absent = [name for key, name in _EXAMINED.items() if run.block(key) is None]
    if absent:
        items.append(f"Not examined in this run: {', '.join(absent)}.")
    return section("limits", "Limits", [bullets(items)])


_EXAMINED = {
    "cross_validation": "repeated cross-validation",
    "comparison": "comparison with baselines",
    "calibration": "calibration",
    "thresholds": "decision thresholds",
    "subgroups": "subgroups",
    "sample_size": "sample-size adequacy",
    "uncertainty": "uncertainty of single predictions",
    "optimism": "bootstrap optimism",
    "instability": "instability of predictions",
    "label_sensitivity": "other definitions of expansion",
    "attributions": "attributions",
}
