"""Preprocessing and model together, refitted in every fold, bootstrap sample and label definition."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hemexp.config import BASELINES, ModelConfig, TrainConfig, get_choice_name
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.features import fixed_inputs, input_table
from hemexp.data.split import draw_validation
from hemexp.data.training_set import build_training_set
from hemexp.training.member import Member
from hemexp.types import Array


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A model, its settings and all patients. `member` chooses the patients of one fit.

    Attributes:
        cfg: the run's configuration.
        model: the run's model, or a model that is compared with it.
        features: names of the model's inputs.
        raw: (N, F) inputs of all patients, NaN where a value is missing.
        labels: (N,) 1, 0, or NaN where the outcome is unknown.
        label: the definition of the labels.
        groups: (N,) numbers that are equal for all ids of one person; None where each has one id.
    """

    cfg: TrainConfig
    model: ModelConfig
    features: tuple[str, ...]
    raw: Array
    labels: Array
    label: dict[str, Any]
    groups: Array | None = None

    @property
    def name(self) -> str:
        """The model's name, with the settings that differ from the baseline of the same name."""
        baseline = next((model for model in BASELINES if model.name == self.model.name), self.model)
        settings, defaults = asdict(self.model), asdict(baseline)
        changed = ", ".join(f"{key}={value}" for key, value in settings.items() if value != defaults[key])
        return f"{get_choice_name(settings)} ({changed})" if changed else get_choice_name(settings)

    def member(self, rows: Sequence[int] | Array, seed: int) -> Member:
        """Return the member that learns from some of the patients; preprocessing is fitted to them alone.

        Args:
            rows: table indices; a bootstrap sample may repeat one.
            seed: of the weights, and of the validation patients, which a network has if ``split.val_fraction`` > 0.

        Raises:
            UserError: the validation part cannot be drawn.
        """
        fraction = self.cfg.split.val_fraction if self.model.is_network else 0.0
        train, val = draw_validation(self.labels, rows, fraction, seed, self.groups)
        clip, names, label = self.cfg.features.clip, self.features, self.label
        training_set = build_training_set(self.raw, self.labels, train, val, clip=clip, features=names, label=label)
        return Member(self.model, self.cfg.optimizer, training_set, seed, **get_training(self.cfg, self.model))

    def labelled(self, labels: Array, label: dict[str, Any]) -> "Pipeline":
        """Return the same pipeline with the labels of another definition."""
        return replace(self, labels=labels, label=label)


def get_training(cfg: TrainConfig, model: ModelConfig) -> dict[str, Any]:
    """Return how a member of a run is trained, beside its optimizer; baselines are single models as they are."""
    training = {"scheduler": cfg.scheduler, "loss": cfg.loss, "engine": cfg.engine, "callbacks": cfg.callbacks}
    if model != cfg.model:
        return training
    ensemble = cfg.ensemble if model.is_network else 1
    return {**training, "ensemble": ensemble, "calibrate": cfg.calibrate, "val_fraction": cfg.split.val_fraction}


def choose_baselines(cfg: TrainConfig, data: ExpansionDataModule) -> tuple[list[ModelConfig], dict[str, str]]:
    """Return the baselines to compare the run's model with, and those that are left out, with the reason.

    Args:
        cfg: the run's configuration.
        data: after `setup`.
    """
    assert data.cohort is not None
    training = data.get_training_patients(data.cohort)
    baselines: list[ModelConfig] = []
    left_out = {}
    for model in BASELINES:
        _, empty = fixed_inputs(model, training)
        if empty:
            left_out[model.name] = f"no value of {' and '.join(empty)} in the training part"
        elif model != cfg.model:
            baselines.append(model)
    return baselines, left_out


def build_pipeline(cfg: TrainConfig, data: ExpansionDataModule, model: ModelConfig | None = None) -> Pipeline:
    """Return the pipeline of the run's model, or of another model on the same patients.

    Args:
        cfg: the run's configuration.
        data: after `setup`.
        model: another model, such as a baseline; it may have its own inputs.
    """
    assert data.cohort is not None
    features, raw = data.features, data.raw
    if model is not None and model.inputs is not None:
        features, _ = fixed_inputs(model, data.get_training_patients(data.cohort))
        raw = input_table(data.cohort.patients, features).to_numpy()
    labels = data.labels["expansion"].to_numpy(dtype=float)
    return Pipeline(cfg, model or cfg.model, tuple(features), raw, labels, asdict(cfg.label), data.groups)
