"""Plan an update: which methods there are enough patients for, and how a refit trains the model again."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from hemexp.commands.model_card import TrainedModel
from hemexp.commands.new_cohort import check_probabilities
from hemexp.commands.update_patients import NewPatients
from hemexp.config import (
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
    UpdateConfig,
    get_choice_name,
    get_entry,
)
from hemexp.config.section import build_section
from hemexp.data.split import divide_persons, draw_validation
from hemexp.data.training_set import build_training_set
from hemexp.errors import UserError
from hemexp.evaluation.update_validation import UpdateProcedure
from hemexp.evaluation.updating import EVENTS_PER_NUMBER, list_possible
from hemexp.models.ensemble import FittedEnsemble
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.linear import Linear
from hemexp.models.predictor import Predictor
from hemexp.training.member import Member
from hemexp.types import Array

log = logging.getLogger(__name__)

_ADVICE = "train it on the new patients with train.py, or give method=intercept_slope"


def plan_update(cfg: UpdateConfig, model: TrainedModel, new: NewPatients) -> tuple[UpdateProcedure, dict[str, str]]:
    """Return the steps of the update, and the methods that cannot be chosen, with the reason.

    Raises:
        UserError: there are too few patients of the rarer outcome for the method, or for the folds.
    """
    raw, labels = new.raw, new.labels
    persons = divide_persons(labels, new.groups)[1]
    rarer = int(min(persons.sum(), (1 - persons).sum()))
    logistic = _find_logistic(model.predictor)
    methods, left_out = list_possible(rarer, len(model.predictor.features) + 1 if logistic else None)
    counts = f"{len(labels)} new patients, {new.events} with the outcome"
    if rarer < 2:
        raise UserError(
            f"data: {counts}: too few to update or to check a model; rule: at least 2 patients with and 2 without the "
            "outcome; give a larger cohort; predict.py needs no outcomes"
        )
    if rarer < cfg.num_folds:
        raise UserError(
            f"num_folds={cfg.num_folds}: too many folds; rule: each fold holds both outcomes; there are {counts}; give "
            f"at most {rarer}"
        )
    needed = "intercept" if cfg.method == "auto" else cfg.method
    is_refit = cfg.method == "refit" and logistic is None
    if rarer < EVENTS_PER_NUMBER and is_refit:
        left_out["refit"] = f"needs {EVENTS_PER_NUMBER} patients of the rarer outcome; there are {rarer}"
    elif is_refit:
        left_out.pop("refit")
    if needed in left_out:
        possible = [method for method in methods if method != needed]
        raise UserError(
            f"method={cfg.method}: {needed} {left_out[needed]} ({counts}); give method={' or method='.join(possible)}, "
            "or wait for more patients"
        )
    if cfg.method == "auto":
        for method, reason in left_out.items():
            log.info("%s is not a choice: %s", method, reason)
    else:
        methods, left_out = (cfg.method,), {}
    risks = model.predictor.predict(raw)
    check_probabilities(pd.DataFrame({"patient_id": new.ids, "probability": risks}), raw, model.predictor.features)
    inputs = logistic.inputs(raw) if logistic and cfg.method == "auto" else None
    refit = _plan_refit(model, raw, labels, new.groups) if "refit" in methods else (None, None)
    return UpdateProcedure(labels, raw, risks, methods, inputs, *refit), left_out


def _find_logistic(predictor: Predictor) -> FittedEstimator | None:
    """Return the logistic regression without penalty that a model consists of; None for every other model."""
    members = predictor.members if isinstance(predictor, FittedEnsemble) else [predictor]
    first = members[0]
    if len(members) > 1 or not isinstance(first, FittedEstimator) or not isinstance(first.estimator, Linear):
        return None
    return None if first.estimator.has_penalty else first


def _plan_refit(
    trained: TrainedModel, raw: Array, labels: Array, groups: Array
) -> tuple[Callable[[Array, int], Member], TrainerConfig]:
    """Return the function that builds a member from indices of patients and a seed, and the trainer.

    Args:
        trained: the model.
        raw: inputs of the patients, NaN where a value is missing.
        labels: 1 or 0.
        groups: numbers that are equal for all ids of one person.

    Shape:
        raw: (N, F); labels, groups: (N,).

    Raises:
        UserError: the settings are not known, or need code that only train.py imports.
    """
    card = trained.card
    config: Mapping[str, Any] = (
        trained.result.config if trained.result else {**card.training, "features": card.features}
    )
    model: ModelConfig = get_entry(str(trained.predictor.model["name"])).schema(**trained.predictor.model)
    if model.name == "brain":
        raise UserError(
            "method=refit: the BRAIN score has published points, which are not trained; give method=intercept or "
            "method=intercept_slope"
        )
    if trained.result and model.is_network:
        model = type(model)(**(trained.result.config.get("model") or {}))  # with the first weights
    if model.is_network and "trainer" not in config:
        raise UserError(
            f"method=refit: model.json does not hold how long {get_choice_name(card.model)} was trained; rule: a "
            "network is trained again from the directory of its run; give run_dir=RUN"
        )
    parts = {name: config.get(name) or {} for name in ("optimizer", "scheduler", "loss", "trainer")}
    own = [f"{name}=custom" for name, values in parts.items() if values.get("name") == "custom"]
    own += ["callbacks"] * bool(config.get("callbacks")) + ["trainer.lightning"] * bool(
        parts["trainer"].get("lightning")
    )
    if model.is_network and own:
        raise UserError(f"method=refit: the run was trained with own code ({', '.join(own)}); {_ADVICE}")
    shared: dict[str, Any] = {"calibrate": config.get("calibrate") or "none"}
    fraction, trainer = 0.0, TrainerConfig()
    if model.is_network:
        fraction = float((config.get("split") or {}).get("val_fraction") or 0)
        trainer = TrainerConfig(**parts["trainer"])
        shared |= {"engine": config.get("engine") or "auto", "ensemble": int(config.get("ensemble") or 1)}
        shared |= {"scheduler": build_section(SchedulerConfig, parts["scheduler"])}
        shared |= {"loss": build_section(LossConfig, parts["loss"]), "val_fraction": fraction}
    optimizer = build_section(OptimizerConfig, parts["optimizer"]) if model.is_network else OptimizerConfig()
    options: dict[str, Any] = {
        "clip": float((config.get("features") or {}).get("clip") or 10.0),
        "features": tuple(trained.predictor.features),
        "label": dict(trained.predictor.label),
    }

    def build_member(rows: Array, seed: int) -> Member:
        train, val = draw_validation(labels, rows, fraction, seed, groups)
        training_set = build_training_set(raw, labels, train, val, **options)
        return Member(model, optimizer, training_set, seed, **shared)

    return build_member, trainer
