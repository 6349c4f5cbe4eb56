"""Train the model of a finished run again on other patients, with the settings of the run."""

from collections.abc import Callable, Mapping
from typing import Any

from hemexp.commands.model_card import TrainedModel
from hemexp.config import (
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
    get_choice_name,
    get_entry,
)
from hemexp.config.section import build_section
from hemexp.data.split import draw_validation
from hemexp.data.training_set import build_training_set
from hemexp.errors import UserError
from hemexp.training.member import Member
from hemexp.types import Array

_ADVICE = "train it on the new patients with train.py, or give method=intercept_slope"


def plan_refit(
    trained: TrainedModel, raw: Array, labels: Array
) -> tuple[Callable[[Array, int], Member], TrainerConfig]:
    """Return the function that builds a member from indices of patients and a seed, and the trainer.

    Args:
        trained: the model.
        raw: inputs of the patients, NaN where a value is missing.
        labels: 1 or 0.

    Shape:
        raw: (N, F); labels: (N,).

    Raises:
        UserError: the settings are not known, or need code that only train.py imports.
    """
    card = trained.card
    config: Mapping[str, Any] = (
        trained.result.config if trained.result else {**card.training, "features": card.features}
    )
    model: ModelConfig = get_entry(str(trained.predictor.model["name"])).schema(**trained.predictor.model)
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
        train, val = draw_validation(labels, rows, fraction, seed)
        training_set = build_training_set(raw, labels, train, val, **options)
        return Member(model, optimizer, training_set, seed, **shared)

    return build_member, trainer
