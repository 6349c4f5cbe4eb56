"""Everything that a run finds out about its model: what ``evaluation=standard`` and ``evaluation=full`` ask for."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.cohort.labels import label_patients
from hemexp.config import BASELINES, LabelConfig, TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import Interrupted
from hemexp.evaluation.attributions import attributions
from hemexp.evaluation.bootstrap import FEWEST_TO_DRAW, bootstrap_refits
from hemexp.evaluation.calibration import calibration, smoothed_curve
from hemexp.evaluation.comparison import claim, compare
from hemexp.evaluation.cross_validation import MEASURED, CrossValidated, ScoreCallback, cross_validate
from hemexp.evaluation.decision import decision_curve
from hemexp.evaluation.folds import Fold, evaluated_indices, repeated_folds, training_indices
from hemexp.evaluation.label_sensitivity import label_sensitivity
from hemexp.evaluation.metrics import Score
from hemexp.evaluation.pipeline import Pipeline, build_pipeline
from hemexp.evaluation.sample_size import num_fitted_inputs, sample_size
from hemexp.evaluation.subgroups import get_subgroups, subgroup_scores
from hemexp.evaluation.uncertainty import single_patients
from hemexp.training.fit import fit
from hemexp.types import Array

log = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What was found.

    Attributes:
        metrics: ``cv/…`` for result.json's metrics.
        blocks: other entries of result.json.
        tables: CSV files of the run directory, by name.
        caveats: codes.
        labels: (P,) of the patients who were cross-validated.
        probabilities: (R, P) their out-of-fold risks.
        refits: (B, P) risks from bootstrap refits, and (P,) from the fit to all.
    """

    metrics: dict[str, Score] = field(default_factory=dict)
    blocks: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)
    labels: Array | None = None
    probabilities: Array | None = None
    refits: tuple[Array, Array] | None = None


def evaluate(
    cfg: TrainConfig,
    data: ExpansionDataModule,
    risks: Array,
    definitions: Mapping[str, LabelConfig],
    directory: Path | None = None,
    callback: ScoreCallback | None = None,
) -> Evaluation:
    """Cross-validate the run's pipeline beside the baselines, and measure what the config asks for.

    With ``evaluation.patients=train`` all but the test part's own scores knows the training part alone.

    Args:
        cfg: of the run.
        data: set up.
        risks: of all patients, from the run's model.
        definitions: of expansion, by name, for label sensitivity.
        directory: where groups of networks save their state; the same call goes on from there.
        callback: is told the model's mean ``search.score`` after every repeat of cross-validation, and may end it.

    Shape:
        risks: (N,).

    Raises:
        UserError: a model cannot be fitted to a fold.
        Interrupted: a signal came.
        Pruned: `callback` ended it.
    """
    found = Evaluation()
    if cfg.evaluation.name == "off":
        return found
    assert data.cohort is not None
    pipeline = build_pipeline(cfg, data)
    rivals = [build_pipeline(cfg, data, model) for model in BASELINES if model != cfg.model]
    training, indices = training_indices(data), evaluated_indices(cfg, data)
    places = {name: directory / name if directory else None for name in ("folds", "training", "refits", "labels")}

    parts = repeated_folds(pipeline.labels, indices, cfg.evaluation.num_folds, cfg.evaluation.num_repeats, cfg.seed)
    validated: dict[str, CrossValidated] = {}
    if parts:
        told = "cross-validation: %d fits, each in a fold of its own, and %d of %d baselines on the same"
        log.info(told, len(parts), len(parts) * len(rivals), len(rivals))
        with _stage("cross-validation"):
            every = cross_validate([pipeline, *rivals], parts, cfg.trainer, places["folds"], callback, cfg.search.score)
        validated = dict(zip([each.name for each in [pipeline, *rivals]], every, strict=True))
        _cross_validation(found, pipeline, validated, indices, data)
    elif cfg.evaluation.num_repeats:
        found.caveats.append("too_few_events_for_cross_validation")
    _test_part(found, pipeline, rivals, validated, data, risks, training)
    _single_patients(found, pipeline, data, risks, validated.get(pipeline.name), places["training"])
    found.blocks["sample_size"] = sample_size(
        len(training), int(pipeline.labels[training].sum()), num_fitted_inputs(cfg.model, pipeline.features)
    )
    events = int(pipeline.labels[indices].sum())
    if cfg.evaluation.num_refits and min(events, len(indices) - events) < FEWEST_TO_DRAW:
        found.caveats.append("too_few_events_for_refits")
    elif cfg.evaluation.num_refits:
        log.info("optimism and instability: %d refits on bootstrap samples", cfg.evaluation.num_refits)
        threshold = (found.blocks.get("uncertainty") or {}).get("threshold", 0.5)
        with _stage("bootstrap refits"):
            blocks, whole, refits = bootstrap_refits(
                pipeline, indices, cfg.evaluation.num_refits, cfg.seed, threshold, places["refits"]
            )
        ids = data.labels[["patient_id"]].iloc[indices].reset_index(drop=True)
        labels = pipeline.labels[indices].astype(int)
        found.tables["instability"] = pd.concat([ids.assign(label=labels), blocks.pop("table")], axis=1)
        found.blocks |= blocks
        found.refits = (refits, whole)
    if cfg.evaluation.label_repeats and parts:
        log.info("label sensitivity: %d definitions of expansion", len(definitions))
        labelled = {
            name: (label, label_patients(data.cohort.scans, label)["expansion"].to_numpy(dtype=float))
            for name, label in definitions.items()
        }
        ridge = [each for each in rivals if each.name == "ridge2"]
        done = [validated[each.name].first(cfg.evaluation.label_repeats) for each in [pipeline, *ridge]]
        with _stage("label sensitivity"):
            found.blocks["label_sensitivity"] = label_sensitivity(
                [pipeline, *ridge], labelled, indices, cfg.evaluation.label_repeats, done, places["labels"]
            )
    if cfg.evaluation.permutations and parts:
        log.info("attributions on the held-out patients of %d folds", len(parts))
        shares = attributions(pipeline, validated[pipeline.name], cfg.evaluation.permutations)
        if shares is not None:
            found.blocks["attributions"], found.tables["attributions"] = shares
    return found


@contextmanager
def _stage(name: str) -> Iterator[None]:
    """Have an interruption say where it came."""
    try:
        yield
    except Interrupted:
        raise Interrupted(f"interrupted in the evaluation ({name}); the model itself is trained") from None


def _cross_validation(
    found: Evaluation,
    pipeline: Pipeline,
    validated: Mapping[str, CrossValidated],
    indices: Sequence[int],
    data: ExpansionDataModule,
) -> None:
    cfg, own = pipeline.cfg, validated[pipeline.name]
    found.metrics = {f"cv/{measure}": own.score(measure) for measure in MEASURED}
    labels = found.labels = pipeline.labels[indices]
    risks = {name: each.probabilities[:, indices] for name, each in validated.items()}
    found.probabilities = risks[pipeline.name]
    if cfg.evaluation.patients == "train":
        found.caveats.append("cross_validated_within_training")
    found.blocks["cross_validation"] = {
        "patients": cfg.evaluation.patients,
        "num_folds": cfg.evaluation.num_folds,
        "num_repeats": cfg.evaluation.num_repeats,
        "num_fits": len(own.parts),
        "num_patients": len(indices),
        "events": int(labels.sum()),
        "num_diverged": own.num_diverged,
        "auprc_by_chance": own.auprc_by_chance,
    }
    if own.num_diverged:
        found.caveats.append("folds_diverged")
    found.blocks["calibration"] = {"cv": calibration(labels, found.probabilities, own.folds)}
    assert data.cohort is not None
    masks = get_subgroups(data.cohort.patients.iloc[list(indices)])
    found.blocks["subgroups"] = subgroup_scores(masks, labels, found.probabilities, own.folds)
    found.tables["calibration_curve"] = smoothed_curve(labels, found.probabilities)
    strategies = {name: risks[name] for name in dict.fromkeys([pipeline.name, "ridge2"])}
    found.tables["decision_curve"] = decision_curve(labels, strategies)
    scores = [each.scores.assign(model=name) for name, each in validated.items()]
    found.tables["cv_predictions"] = out_of_fold(validated, data)
    found.tables["cv_scores"] = pd.concat(scores, ignore_index=True)[["model", *own.scores.columns]]


def _test_part(
    found: Evaluation,
    pipeline: Pipeline,
    rivals: Sequence[Pipeline],
    validated: Mapping[str, CrossValidated],
    data: ExpansionDataModule,
    risks: Array,
    training: list[int],
) -> None:
    """Fit the baselines to the training part, and put the model beside them."""
    test = data.split.indices("test")
    labels = pipeline.labels[test]
    fitted = fit([each.member(training, pipeline.cfg.seed) for each in rivals], pipeline.cfg.trainer)
    tested = {pipeline.name: risks[test]}
    for each, result in zip(rivals, fitted, strict=True):
        tested[each.name] = result.predictor().predict(each.raw[test])
    found.blocks["comparison"] = compare(validated, labels, tested)
    found.blocks["claim"] = claim(found.blocks["comparison"])
    found.blocks["calibration"] = {
        "cv": None,
        **found.blocks.get("calibration", {}),
        "test": calibration(labels, risks[test][None]),
    }


def _single_patients(
    found: Evaluation,
    pipeline: Pipeline,
    data: ExpansionDataModule,
    risks: Array,
    validated: CrossValidated | None,
    directory: Path | None,
) -> None:
    """Cross-validate within the training part, for thresholds and for what is known of single patients."""
    evaluation, training = pipeline.cfg.evaluation, training_indices(data)
    num_repeats = evaluation.threshold_repeats
    parts = repeated_folds(pipeline.labels, training, evaluation.num_folds, num_repeats, pipeline.cfg.seed)
    if not parts:
        if num_repeats:
            found.caveats.append("too_few_events_for_thresholds")
        return
    if validated is not None and evaluation.patients == "train" and evaluation.num_repeats >= num_repeats:
        # the same folds and seeds have been fitted already
        within = validated.first(num_repeats)
    else:
        log.info("thresholds and Venn-Abers pairs: %d fits within the training part", len(parts))
        with _stage("cross-validation within the training part"):
            (within,) = cross_validate([pipeline], parts, pipeline.cfg.trainer, directory)
    blocks, found.tables["uncertainty"] = single_patients(data, pipeline.labels, risks, within)
    found.blocks |= blocks


def out_of_fold(validated: Mapping[str, CrossValidated], data: ExpansionDataModule) -> pd.DataFrame:
    """Return the table of cv_predictions.csv: a row a model, repeat and patient."""
    ids, labels = data.labels["patient_id"].to_numpy(), data.labels["expansion"].to_numpy(dtype=float)

    def rows(name: str, each: CrossValidated, part: Fold) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "model": name,
                "repeat": part.repeat,
                "fold": part.fold,
                "patient_id": ids[part.test],
                "label": labels[part.test].astype(int),
                "probability": each.probabilities[part.repeat, part.test],
            }
        )

    return pd.concat([rows(name, each, part) for name, each in validated.items() for part in each.parts])
