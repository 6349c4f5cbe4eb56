"""Refits of the whole pipeline: on bootstrap samples, and under other definitions of expansion."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from hemexp.config import LabelConfig
from hemexp.evaluation.cross_validation import NOT_DEFINED, CrossValidated, score_parts
from hemexp.evaluation.folds import Fold, repeated_folds
from hemexp.evaluation.pipeline import Pipeline
from hemexp.training.fit import fit
from hemexp.types import Array

_FEWEST_EVENTS = 10


def label_sensitivity(
    pipelines: Sequence[Pipeline],
    definitions: Mapping[str, tuple[LabelConfig, Array]],
    indices: Sequence[int],
    num_repeats: int,
    done: Sequence[CrossValidated],
    directory: Path | None = None,
) -> list[dict[str, Any]]:
    """Cross-validate the model and the two-variable ridge under every definition of expansion.

    Args:
        pipelines: the run's and the ridge's; one where they are the same.
        definitions: by name, each with its labels (N,).
        indices: table positions of the patients who took part; those without an outcome under a definition leave it.
        num_repeats: of the folds for each definition.
        done: the cross-validation of `pipelines` under the run's own definition.
        directory: see `hemexp.training.fit`.

    Returns:
        The block ``label_sensitivity`` of result.json.
    """
    cfg = pipelines[0].cfg
    rows: list[dict[str, Any]] = []
    found: dict[str, Sequence[CrossValidated]] = {}
    waiting: list[tuple[str, list[Pipeline], list[Fold]]] = []
    for name, (label, labels) in definitions.items():
        known = [row for row in indices if labels[row] in {0, 1}]
        events = int(labels[known].sum())
        facts = {"label": name, "definition": label.describe(), "num_patients": len(known), "events": events}
        rows.append({**facts, "is_run_label": asdict(label) == asdict(cfg.label)})
        if rows[-1]["is_run_label"]:
            found[name] = done
        elif min(events, len(known) - events) >= _FEWEST_EVENTS:
            parts = repeated_folds(labels, known, cfg.evaluation.num_folds, num_repeats, cfg.seed)
            if parts:
                waiting.append((name, [pipeline.labelled(labels, asdict(label)) for pipeline in pipelines], parts))
    members = [
        pipeline.member(part.train.tolist(), part.seed)
        for _, relabelled, parts in waiting
        for pipeline in relabelled
        for part in parts
    ]
    results = iter(fit(members, cfg.trainer, directory=directory))
    for name, relabelled, parts in waiting:
        found[name] = [score_parts(pipeline, parts, list(islice(results, len(parts)))) for pipeline in relabelled]
    for row in rows:
        scores = [validated.score("auroc") for validated in found.get(row["label"], ())] or [NOT_DEFINED]
        row |= {"auroc": scores[0], "ridge2_auroc": scores[-1], "note": "" if row["label"] in found else "too few"}
    return rows
