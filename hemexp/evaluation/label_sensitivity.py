"""Cross-validation under other definitions of expansion."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from hemexp.config import LabelConfig
from hemexp.evaluation.cross_validation import CrossValidated, score_folds
from hemexp.evaluation.folds import Fold, repeated_folds
from hemexp.evaluation.pipeline import Pipeline
from hemexp.files.result import LabelScore
from hemexp.training.fit import fit
from hemexp.types import Array

_MIN_OUTCOMES = 10  # patients of each outcome


def label_sensitivity(
    pipelines: Sequence[Pipeline],
    definitions: Mapping[str, tuple[LabelConfig, Array]],
    indices: Sequence[int],
    num_repeats: int,
    done: Sequence[CrossValidated],
    directory: Path | None = None,
) -> list[LabelScore]:
    """Cross-validate the model and the two-variable ridge under every definition of expansion.

    Args:
        pipelines: of the run and of the ridge; one pipeline if the model of the run is the ridge, or without ridge.
        definitions: by name, each with its labels (N,).
        indices: table positions of the patients; patients without an outcome under a definition are left out of it.
        num_repeats: for each definition.
        done: the cross-validation of `pipelines` under the definition of the run.
        directory: see `hemexp.training.fit`.
    """
    cfg = pipelines[0].cfg
    rows: list[LabelScore] = []
    planned: list[tuple[LabelScore, list[Pipeline], list[Fold]]] = []
    for name, (label, labels) in definitions.items():
        known = [index for index in indices if labels[index] in {0, 1}]
        events = int(labels[known].sum())
        row = LabelScore(
            label=name,
            definition=label.describe(),
            num_patients=len(known),
            events=events,
            is_run_label=asdict(label) == pipelines[0].label,
            note="too few",
        )
        rows.append(row)
        if row.is_run_label:
            _add_scores(row, pipelines, done)
        elif min(events, len(known) - events) >= _MIN_OUTCOMES:
            folds = repeated_folds(labels, known, cfg.evaluation.num_folds, num_repeats, cfg.seed)
            if folds:
                planned.append((row, [pipeline.labelled(labels, asdict(label)) for pipeline in pipelines], folds))
    members = [
        pipeline.member(fold.train.tolist(), fold.seed)
        for _, relabeled, folds in planned
        for pipeline in relabeled
        for fold in folds
    ]
    results = iter(fit(members, cfg.trainer, directory=directory))
    for row, relabeled, folds in planned:
        validated = [score_folds(each, folds, list(islice(results, len(folds)))) for each in relabeled]
        _add_scores(row, pipelines, validated)
    return rows


def _add_scores(row: LabelScore, pipelines: Sequence[Pipeline], validated: Sequence[CrossValidated]) -> None:
    row.auroc, row.note = validated[0].score("auroc"), ""
    if pipelines[-1].model.name == "ridge2":  # it is left out where the cohort has no volumes or no hours
        row.ridge2_auroc = validated[-1].score("auroc")
