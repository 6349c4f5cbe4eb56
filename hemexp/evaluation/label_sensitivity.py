"""Cross-validation under other definitions of expansion."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

from hemexp.config import LabelConfig
from hemexp.evaluation.cross_validation import CrossValidated, score_folds
from hemexp.evaluation.folds import Fold, repeated_folds
from hemexp.evaluation.pipeline import Pipeline
from hemexp.files.result import LabelScore
from hemexp.training.member import FitResult
from hemexp.types import Array

_MIN_OUTCOMES = 10  # patients of each outcome


@dataclass(frozen=True, eq=False)
class LabelFolds:
    """A definition of the outcome with its folds.

    Attributes:
        row: the entry of result.json, without scores.
        pipelines: with the labels of the definition.
        folds: empty for the definition of the run, and where there are too few patients of one outcome.
    """

    row: LabelScore
    pipelines: list[Pipeline]
    folds: list[Fold]


def divide_by_label(
    pipelines: Sequence[Pipeline],
    definitions: Mapping[str, tuple[LabelConfig, Array]],
    indices: Sequence[int],
    num_repeats: int,
) -> list[LabelFolds]:
    """Divide the patients into folds under every definition of expansion.

    Args:
        pipelines: of the run and of the two-variable ridge; one pipeline if the model of the run is the ridge, or
            without ridge.
        definitions: by name, each with its labels (N,).
        indices: table positions of the patients; patients without an outcome under a definition are left out of it.
        num_repeats: for each definition.
    """
    cfg, divided = pipelines[0].cfg, []
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
        folds: list[Fold] = []
        if not row.is_run_label and min(events, len(known) - events) >= _MIN_OUTCOMES:
            evaluation, groups = cfg.evaluation, pipelines[0].groups
            folds = repeated_folds(labels, known, evaluation.num_folds, num_repeats, cfg.seed, groups)
        divided.append(LabelFolds(row, [pipeline.labelled(labels, asdict(label)) for pipeline in pipelines], folds))
    return divided


def label_sensitivity(
    divided: Sequence[LabelFolds], results: Sequence[Sequence[FitResult]], done: Sequence[CrossValidated]
) -> list[LabelScore]:
    """Score the model and the two-variable ridge under every definition of expansion.

    Args:
        divided: from `divide_by_label`.
        results: for each pipeline its fits in the folds, definition by definition.
        done: the cross-validation of the pipelines under the definition of the run.
    """
    remaining = [iter(fitted) for fitted in results]
    for each in divided:
        if each.row.is_run_label:
            _add_scores(each, done)
        elif each.folds:
            pairs = zip(each.pipelines, remaining, strict=True)
            count = len(each.folds)
            _add_scores(
                each, [score_folds(pipeline, each.folds, list(islice(fits, count))) for pipeline, fits in pairs]
            )
    return [each.row for each in divided]


def _add_scores(divided: LabelFolds, validated: Sequence[CrossValidated]) -> None:
    row = divided.row
    row.auroc, row.note = validated[0].score("auroc"), ""
    if divided.pipelines[-1].model.name == "ridge2":  # left out where the cohort has no volumes or no hours
        row.ridge2_auroc = validated[-1].score("auroc")
