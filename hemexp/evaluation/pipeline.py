"""Preprocessing and model as one unit, refitted in each fold, bootstrap sample and label definition."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hemexp.config import BASELINES, ModelConfig, NetConfig, TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.features import input_table
from hemexp.data.split import stratified_draw
from hemexp.data.training_set import build_training_set
from hemexp.training.member import Member
from hemexp.types import Array


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Preprocessing and model. Every fit repeats imputation, scaling and the draw of the validation part.

    Attributes:
        cfg: of the run.
        model: the model of the run, or a baseline.
        features: names of the inputs.
        raw: (N, F), all patients; NaN marks a missing value.
        labels: (N,) 1, 0, or NaN where unknown.
        label: the definition of expansion.
    """

    cfg: TrainConfig
    model: ModelConfig
    features: tuple[str, ...]
    raw: Array
    labels: Array
    label: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the model, with the settings that differ from a baseline of the same name."""
        usual = next((each for each in BASELINES if each.name == self.model.name), self.model)
        own, theirs = asdict(self.model), asdict(usual)
        changed = ", ".join(f"{key}={value}" for key, value in own.items() if value != theirs[key])
        return f"{self.model.name} ({changed})" if changed else self.model.name

    def member(self, rows: Sequence[int], seed: int) -> Member:
        """Return the member to fit to the patients at `rows`.

        For a network with ``split.val_fraction > 0``, a validation part is held out of these patients.

        Args:
            rows: table positions; a bootstrap sample may hold a position several times.
            seed: of the weights and of the validation part.

        Raises:
            UserError: the validation part cannot be drawn.
        """
        train = np.sort(np.asarray(rows, dtype=int))
        val = train[:0]
        if self.cfg.split.val_fraction > 0 and isinstance(self.model, NetConfig):
            indices = np.unique(train)  # no patient is in both parts
            drawn = stratified_draw(self.labels[indices], self.cfg.split.val_fraction, seed, "split.val_fraction")
            held_out = np.isin(train, indices[drawn])
            train, val = train[~held_out], train[held_out]
        fold = build_training_set(
            self.raw,
            self.labels,
            train.tolist(),
            val.tolist(),
            clip=self.cfg.features.clip,
            features=self.features,
            label=self.label,
        )
        return Member(self.model, self.cfg.optimizer, fold, seed)

    def labelled(self, labels: Array, label: dict[str, Any]) -> "Pipeline":
        """Return the same pipeline for another definition of expansion."""
        return replace(self, labels=labels, label=label)


def build_pipeline(cfg: TrainConfig, data: ExpansionDataModule, model: ModelConfig | None = None) -> Pipeline:
    """Return the pipeline of the run, or the pipeline of another model for the same patients.

    Args:
        cfg: of the run.
        data: after setup.
        model: the other model, such as a baseline; its ``inputs`` replace the features of the run.
    """
    assert data.cohort is not None
    names, raw = data.features, data.raw
    if model is not None and model.inputs is not None:
        names = list(model.inputs)
        raw = input_table(data.cohort.patients, names).to_numpy()
    outcomes = data.labels["expansion"].to_numpy(dtype=float)
    return Pipeline(cfg, model or cfg.model, tuple(names), raw, outcomes, asdict(cfg.label))
