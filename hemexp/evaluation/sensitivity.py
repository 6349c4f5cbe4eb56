"""Refits of the whole recipe: on bootstrap samples, and under other definitions of expansion."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hemexp.config import LabelConfig
from hemexp.evaluation.cross_validation import NOT_DEFINED, CrossValidated, Part, repeated_folds, score_parts
from hemexp.evaluation.recipe import Recipe
from hemexp.evaluation.refits import instability, optimism
from hemexp.training import fit

Array = np.ndarray[Any, Any]
_FEWEST_EVENTS = 10
_FEWEST_DRAWN = 2  # different patients of each outcome in a bootstrap sample
FEWEST_TO_DRAW = 5  # patients of each outcome: of fewer, hardly a sample would do


def bootstrap_refits(
    recipe: Recipe,
    people: Sequence[int],
    num_refits: int,
    seed: int,
    threshold: float = 0.5,
    directory: Path | None = None,
) -> tuple[dict[str, Any], Array, Array]:
    """Fit the recipe to all patients and to bootstrap samples of them.

    Args:
        recipe: the run's.
        people: table positions of the patients, `FEWEST_TO_DRAW` of each outcome at least.
        num_refits: bootstrap samples; each holds both outcomes.
        seed: of samples and fits.
        threshold: of risk, for the instability of classifications.
        directory: see `hemexp.training.fit`.

    Returns:
        The blocks ``optimism`` and ``instability`` of result.json with the table of instability.csv under ``table``;
        the patients' risks (N,) and those from each refit (B, N).
    """
    rows, rng = np.asarray(people, dtype=int), np.random.default_rng(seed)
    labels = recipe.labels[rows]
    seeds = np.random.SeedSequence([seed, 1]).generate_state(num_refits + 1).tolist()
    samples: list[Array] = []
    members = [recipe.member(people, seeds[0])]
    while len(samples) < num_refits:
        drawn = np.sort(rng.integers(len(rows), size=len(rows)))
        fewest = min(len(np.unique(drawn[labels[drawn] == outcome])) for outcome in (0, 1))
        if fewest >= _FEWEST_DRAWN:  # else no part could be held out of it
            samples.append(drawn)
            members.append(recipe.member(rows[drawn].tolist(), seeds[len(samples)]))
    fitted = fit(members, recipe.cfg.trainer, directory=directory)
    risks = np.stack([result.predictor().predict(recipe.raw[rows]) for result in fitted])  # (1 + B, N)
    counts = np.stack([np.bincount(drawn, minlength=len(rows)) for drawn in samples]).astype(float)
    summary, table = instability(risks[0], risks[1:], threshold)
    blocks = {
        "optimism": optimism(labels, risks[0], risks[1:], counts),
        "instability": summary,
        "table": table,
    }
    return blocks, risks[0], risks[1:]


def label_sensitivity(
    recipes: Sequence[Recipe],
    definitions: Mapping[str, tuple[LabelConfig, Array]],
    people: Sequence[int],
    num_repeats: int,
    done: Sequence[CrossValidated],
    directory: Path | None = None,
) -> list[dict[str, Any]]:
    """Cross-validate the model and the two-variable ridge under every definition of expansion.

    Args:
        recipes: the run's and the ridge's; one where they are the same.
        definitions: by name, each with its labels (N,).
        people: table positions of the patients who took part; those without an outcome under a definition leave it.
        num_repeats: of the folds for each definition.
        done: the cross-validation of `recipes` under the run's own definition.
        directory: see `hemexp.training.fit`.

    Returns:
        The block ``label_sensitivity`` of result.json.
    """
    cfg = recipes[0].cfg
    rows: list[dict[str, Any]] = []
    found: dict[str, Sequence[CrossValidated]] = {}
    waiting: list[tuple[str, list[Recipe], list[Part]]] = []
    for name, (label, labels) in definitions.items():
        known = [row for row in people if labels[row] in {0, 1}]
        events = int(labels[known].sum())
        facts = {"label": name, "definition": label.describe(), "num_patients": len(known), "events": events}
        rows.append({**facts, "is_run_label": asdict(label) == asdict(cfg.label)})
        if rows[-1]["is_run_label"]:
            found[name] = done
        elif min(events, len(known) - events) >= _FEWEST_EVENTS:
            parts = repeated_folds(labels, known, cfg.evaluation.num_folds, num_repeats, cfg.seed)
            if parts:
                waiting.append((name, [recipe.labelled(labels, asdict(label)) for recipe in recipes], parts))
    members = [
        recipe.member(part.train.tolist(), part.seed)
        for _, relabelled, parts in waiting
        for recipe in relabelled
        for part in parts
    ]
    results = iter(fit(members, cfg.trainer, directory=directory))
    for name, relabelled, parts in waiting:
        found[name] = [score_parts(recipe, parts, list(islice(results, len(parts)))) for recipe in relabelled]
    for row in rows:
        scores = [validated.score("auroc") for validated in found.get(row["label"], ())] or [NOT_DEFINED]
        row |= {"auroc": scores[0], "ridge2_auroc": scores[-1], "note": "" if row["label"] in found else "too few"}
    return rows
