"""Everything that a run finds out about its model: what ``evaluation=standard`` and ``evaluation=full`` ask for."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.labels import label_patients
from hemexp.config import BASELINES, LabelConfig, TrainConfig
from hemexp.datamodule import ExpansionDataModule
from hemexp.errors import UserError
from hemexp.evaluation.attributions import attributions
from hemexp.evaluation.calibration import calibration, smoothed_curve
from hemexp.evaluation.comparison import claim, compare
from hemexp.evaluation.cross_validation import MEASURED, CrossValidated, Part, cross_validate, repeated_folds
from hemexp.evaluation.decision import decision_curve
from hemexp.evaluation.recipe import Recipe, recipe_of
from hemexp.evaluation.sample_size import num_fitted_inputs, sample_size
from hemexp.evaluation.scores import Score
from hemexp.evaluation.sensitivity import bootstrap_refits, label_sensitivity
from hemexp.evaluation.subgroups import subgroup_scores, subgroups_of
from hemexp.evaluation.thresholds import choose_thresholds, score_thresholds
from hemexp.evaluation.venn_abers import venn_abers_interval
from hemexp.training import fit

Array = np.ndarray[Any, Any]
log = logging.getLogger(__name__)

_USUAL_FOLDS = 5  # a cohort too small even for these has no cross-validation, and a caveat


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
) -> Evaluation:
    """Cross-validate the run's recipe beside the baselines, and measure what the config asks for.

    Args:
        cfg: of the run.
        data: set up.
        risks: of all patients, from the run's model.
        definitions: of expansion, by name, for label sensitivity.
        directory: where groups of networks save their state; the same call goes on from there.

    Shape:
        risks: (N,).

    Raises:
        UserError: a model cannot be fitted to a fold.
        Interrupted: a signal came.
    """
    found = Evaluation()
    if cfg.evaluation.name == "off":
        return found
    assert data.cohort is not None
    recipe = recipe_of(cfg, data)
    rivals = [recipe_of(cfg, data, model) for model in BASELINES if model.name != cfg.model.name]
    training = sorted(data.split.positions("train") + data.split.positions("val"))
    people = sorted(training + data.split.positions("test"))
    places = {name: directory / name if directory else None for name in ("folds", "training", "refits", "labels")}

    parts = repeated_folds(recipe.labels, people, cfg.evaluation.num_folds, cfg.evaluation.num_repeats, cfg.seed)
    validated: dict[str, CrossValidated] = {}
    if parts:
        log.info("cross-validation: %d fits, each in a fold of its own, and the baselines on the same", len(parts))
        every = cross_validate([recipe, *rivals], parts, cfg.trainer, places["folds"])
        validated = dict(zip([each.model.name for each in [recipe, *rivals]], every, strict=True))
        _cross_validation(found, recipe, validated, people, data)
    elif cfg.evaluation.num_repeats:
        found.caveats.append("too_few_events_for_cross_validation")
    _test_part(found, recipe, rivals, validated, data, risks, training)
    _single_patients(found, recipe, data, risks, training, places["training"])
    found.blocks["sample_size"] = sample_size(
        len(training), int(recipe.labels[training].sum()), num_fitted_inputs(cfg.model, recipe.features)
    )
    if cfg.evaluation.num_refits:
        log.info("optimism and instability: %d refits on bootstrap samples", cfg.evaluation.num_refits)
        threshold = (found.blocks.get("uncertainty") or {}).get("threshold", 0.5)
        blocks, whole, refits = bootstrap_refits(
            recipe, people, cfg.evaluation.num_refits, cfg.seed, threshold, places["refits"]
        )
        ids = data.labels[["patient_id"]].iloc[people].reset_index(drop=True)
        labels = recipe.labels[people].astype(int)
        found.tables["instability"] = pd.concat([ids.assign(label=labels), blocks.pop("table")], axis=1)
        found.blocks |= blocks
        found.refits = (refits, whole)
    if cfg.evaluation.label_repeats and parts:
        log.info("label sensitivity: %d definitions of expansion", len(definitions))
        labelled = {
            name: (label, label_patients(data.cohort.scans, label)["expansion"].to_numpy(dtype=float))
            for name, label in definitions.items()
        }
        ridge = [each for each in rivals if each.model.name == "ridge2"]
        done = [validated[each.model.name].first(cfg.evaluation.label_repeats) for each in [recipe, *ridge]]
        found.blocks["label_sensitivity"] = label_sensitivity(
            [recipe, *ridge], labelled, people, cfg.evaluation.label_repeats, done, places["labels"]
        )
    if cfg.evaluation.permutations and parts:
        log.info("attributions on the held-out patients of %d folds", len(parts))
        shares = attributions(recipe, validated[cfg.model.name], cfg.evaluation.permutations)
        if shares is not None:
            found.blocks["attributions"], found.tables["attributions"] = shares
    return found


def rehearse(cfg: TrainConfig, data: ExpansionDataModule) -> None:
    """Draw every part that the evaluation will hold out, before hours of training meet one that cannot be drawn.

    Raises:
        UserError: a fold's patients cannot be divided as the split asks, or more folds are asked for than there are
            patients of the rarer outcome.
    """
    recipe, evaluation = recipe_of(cfg, data), cfg.evaluation
    training = sorted(data.split.positions("train") + data.split.positions("val"))
    everybody = sorted(training + data.split.positions("test"))
    events = int(recipe.labels[everybody].sum())
    rarer = min(events, len(everybody) - events)
    if evaluation.name != "off" and _USUAL_FOLDS <= rarer < evaluation.num_folds:
        raise UserError(
            f"evaluation.num_folds={evaluation.num_folds}: each fold must hold both outcomes, and of {len(everybody)} "
            f"patients {events} have expansion; give at most {rarer}"
        )
    if evaluation.name == "off" or cfg.split.val_fraction == 0:
        return
    repeats = {evaluation.num_repeats: everybody, evaluation.threshold_repeats: training}
    for num_repeats, people in repeats.items():
        for part in repeated_folds(recipe.labels, people, evaluation.num_folds, num_repeats, cfg.seed):
            recipe.member(part.train.tolist(), part.seed)


def _cross_validation(
    found: Evaluation,
    recipe: Recipe,
    validated: Mapping[str, CrossValidated],
    people: Sequence[int],
    data: ExpansionDataModule,
) -> None:
    cfg, own = recipe.cfg, validated[recipe.cfg.model.name]
    found.metrics = {f"cv/{measure}": own.score(measure) for measure in MEASURED}
    labels = found.labels = recipe.labels[people]
    risks = {name: each.probabilities[:, people] for name, each in validated.items()}
    found.probabilities = risks[cfg.model.name]
    found.blocks["cross_validation"] = {
        "num_folds": cfg.evaluation.num_folds,
        "num_repeats": cfg.evaluation.num_repeats,
        "num_fits": len(own.parts),
        "num_patients": len(people),
        "events": int(labels.sum()),
        "num_diverged": own.num_diverged,
    }
    if own.num_diverged:
        found.caveats.append("folds_diverged")
    found.blocks["calibration"] = {"cv": calibration(labels, found.probabilities, own.folds)}
    assert data.cohort is not None
    masks = subgroups_of(data.cohort.patients.iloc[list(people)])
    found.blocks["subgroups"] = subgroup_scores(masks, labels, found.probabilities, own.folds)
    found.tables["calibration_curve"] = smoothed_curve(labels, found.probabilities)
    strategies = {name: risks[name] for name in dict.fromkeys([cfg.model.name, "ridge2"])}
    found.tables["decision_curve"] = decision_curve(labels, strategies)
    scores = [each.scores.assign(model=name) for name, each in validated.items()]
    found.tables["cv_predictions"] = out_of_fold(validated, data)
    found.tables["cv_scores"] = pd.concat(scores, ignore_index=True)[["model", *own.scores.columns]]


def _test_part(
    found: Evaluation,
    recipe: Recipe,
    rivals: Sequence[Recipe],
    validated: Mapping[str, CrossValidated],
    data: ExpansionDataModule,
    risks: Array,
    training: list[int],
) -> None:
    """Fit the baselines to the training part, and put the model beside them."""
    test = data.split.positions("test")
    labels = recipe.labels[test]
    fitted = fit([each.member(training, recipe.cfg.seed) for each in rivals], recipe.cfg.trainer)
    tested = {recipe.cfg.model.name: risks[test]}
    for each, result in zip(rivals, fitted, strict=True):
        tested[each.model.name] = result.predictor().predict(each.raw[test])
    found.blocks["comparison"] = compare(validated, labels, tested)
    found.blocks["claim"] = claim(found.blocks["comparison"])
    found.blocks["calibration"] = {
        "cv": None,
        **found.blocks.get("calibration", {}),
        "test": calibration(labels, risks[test][None]),
    }


def _single_patients(
    found: Evaluation,
    recipe: Recipe,
    data: ExpansionDataModule,
    risks: Array,
    training: list[int],
    directory: Path | None,
) -> None:
    """Fix thresholds on the training part, and say how well it knows the risk of each patient outside it."""
    evaluation = recipe.cfg.evaluation
    parts = repeated_folds(recipe.labels, training, evaluation.num_folds, evaluation.threshold_repeats, recipe.cfg.seed)
    if not parts:
        if evaluation.threshold_repeats:
            found.caveats.append("too_few_events_for_thresholds")
        return
    log.info("thresholds and single patients' intervals: %d fits within the training part", len(parts))
    (within,) = cross_validate([recipe], parts, recipe.cfg.trainer, directory)
    labels, unseen = recipe.labels[training], within.probabilities[:, training]
    thresholds = choose_thresholds(labels, unseen)
    test = data.split.positions("test")
    found.blocks["thresholds"] = score_thresholds(thresholds, recipe.labels[test], risks[test])
    threshold = thresholds["youden"]
    low, high = venn_abers_interval(
        labels, unseen[0], np.append(risks, threshold)
    )  # one repeat: of single networks too
    calibrated = float(high[-1] / (1 - low[-1] + high[-1]))  # the threshold, on the scale of the pairs
    table = data.labels[["patient_id"]].assign(
        role=data.split.roles,
        label=data.labels["expansion"],
        probability=risks,
        low=low[:-1],
        high=high[:-1],
        abstains=(low[:-1] < calibrated) & (calibrated < high[:-1]),
    )
    table = table[table["role"] != "train"]
    found.tables["uncertainty"] = table
    tested = table[table["role"] == "test"]
    found.blocks["uncertainty"] = {
        "num_patients": len(tested),
        "num_abstained": int(tested["abstains"].sum()),
        "median_width": float((tested["high"] - tested["low"]).median()) if len(tested) else None,
        "threshold": threshold,
        "calibrated_threshold": calibrated,
        "coverage_note": (
            "A Venn-Abers pair: the risk as the training part's out-of-fold risks calibrate it, had this patient no "
            "expansion, and had the patient one. If the model were that of the folds and patients to come like those "
            "seen, one of the two would be calibrated. The gap says how much one patient more would change; it is no "
            "95 % interval, and a model that knows nothing has narrow ones. Where the pair spans Youden's threshold, "
            "calibrated alike, the model abstains."
        ),
    }


def out_of_fold(validated: Mapping[str, CrossValidated], data: ExpansionDataModule) -> pd.DataFrame:
    """Return the table of cv_predictions.csv: a row a model, repeat and patient."""
    ids, labels = data.labels["patient_id"].to_numpy(), data.labels["expansion"].to_numpy(dtype=float)

    def rows(name: str, each: CrossValidated, part: Part) -> pd.DataFrame:
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
