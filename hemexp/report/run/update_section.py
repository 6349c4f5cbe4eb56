"""The section on an update for another hospital: what it does, how good it is, and the runs that it came from."""

from hemexp.config import get_model_title
from hemexp.files.result import RunResult
from hemexp.formatting import count, num, p_value, plural, score_text
from hemexp.report.blocks import Block, bullets, load_texts, section, table
from hemexp.report.first_screen import Line, compare_with_coin
from hemexp.report.run.read import RunFiles

METHODS = {
    "none": "none: the model stays as it is",
    "intercept": "intercept: corrects the average risk",
    "intercept_slope": "intercept and slope: corrects the average risk and the spread of the risks",
    "refit": "refit: the model was trained again",
}
_RANKING = {
    "same": "as before the update",
    "better": "better than before the update",
    "not better": "not shown to be better than before the update",
    "worse": "worse than before the update",
    "lost": "lost by the update",
}
_RISKS = {
    "same": "as before the update",
    "better": "more accurate than before",
    "not better": "not shown to be more accurate than before",
    "worse": "less accurate than before",
}


def conclude_update(result: RunResult) -> tuple[str, str]:
    """Return the conclusion on an update in words, and the code of its color."""
    found, titles = result.update, load_texts("texts")["updates"]
    assert found is not None
    relations = {found.ranking, found.risks}
    if found.beside_prevalence != "better":
        return titles["useless"], "not_better_than_baselines"
    if relations & {"worse", "lost"}:
        return titles["worse"], "worse_than_baseline"
    if "better" in relations:
        return titles["better"], "better_than_baselines"
    return titles["unclear" if result.updated_from[0].method != "none" else "none"], "not_better_than_baselines"


def describe_update(result: RunResult) -> list[Line]:
    """Return the lines of the first screen on what the update does, and on its ranking and risks."""
    found, auroc = result.update, compare_with_coin(result.metrics.get("cv/auroc"))
    assert found is not None
    use = {"not better": "not shown to be better"}.get(found.beside_prevalence, found.beside_prevalence)
    method = result.updated_from[0].method
    done = [] if method == "none" else [("Update", f"{METHODS[method].partition(': ')[2]}.")]
    return [
        *done,
        ("Ranking", f"{auroc[:-1]}; {_RANKING[found.ranking]}."),
        ("Risks", f"{_RISKS[found.risks]}; {use} than the same risk for everyone."),
    ]


def update(run: RunFiles) -> Block | None:
    """Return the section on the update; None for a run of train.py."""
    validation = run.result.update
    if validation is None:
        return None
    head = ["", "AUROC", "updated minus this", "Brier score", "updated minus this"]
    rows = [
        [
            get_model_title(row.model),
            score_text(row.auroc, 3),
            score_text(row.auroc_difference, 3) if row.auroc_difference else "",
            score_text(row.brier, 3),
            score_text(row.brier_difference, 3) if row.brier_difference else "",
        ]
        for row in validation.comparison
    ]
    times = plural(validation.num_repeats, "time")
    note = (
        f"{validation.num_folds}-fold cross-validation among the new patients, {times}. In each fold the update was "
        "chosen and fitted without the held-out patients. 95 % intervals."
    )
    blocks = [
        bullets(validation.conclusion),
        table("Scores in the new patients", head, rows, note),
        _ancestry(run.result),
    ]
    return section("update", "The update", blocks, scored=True)


def _ancestry(result: RunResult) -> Block:
    head = ["update", "patients", "with expansion", "patients before it", "closed test"]
    rows = [
        [
            METHODS[step.method],
            count(step.num_patients),
            count(step.events),
            f"{count(step.num_train)} ({count(step.events_train)} with expansion)",
            "; ".join(f"{name}: p {p_value(p)}" for name, p in step.p_values.items()) or "–",
        ]
        for step in result.updated_from
    ]
    last = result.updated_from[0]
    note = "The last update is in the first row. "
    if last.method in {"intercept", "intercept_slope"}:
        note += f"It makes the logit of a risk {num(last.intercept, 3)} + {num(last.slope, 3)} × its logit before."
    return table("The updates that led to this model", head, rows, note)
