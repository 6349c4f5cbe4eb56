"""The whole way from patients to a fitted model, to be walked again by every fold, resample and label."""

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
    """Everything that a fit needs but the patients: imputation, scaling, stopping and seeds are done anew each time.

    Attributes:
        cfg: of the run.
        model: the run's, or another to stand beside it.
        features: names of the model's inputs.
        raw: (N, F), all patients, gaps as NaN.
        labels: (N,) 1, 0, or NaN where unknown.
        label: the definition that the labels follow.
    """

    cfg: TrainConfig
    model: ModelConfig
    features: tuple[str, ...]
    raw: Array
    labels: Array
    label: dict[str, Any]

    @property
    def name(self) -> str:
        """What it is called beside others: its model, and how that differs from a baseline of the same name."""
        usual = next((each for each in BASELINES if each.name == self.model.name), self.model)
        own, theirs = asdict(self.model), asdict(usual)
        changed = ", ".join(f"{key}={value}" for key, value in own.items() if value != theirs[key])
        return f"{self.model.name} ({changed})" if changed else self.model.name

    def member(self, rows: Sequence[int], seed: int) -> Member:
        """Return what is fitted to the patients at `rows`; a network has some held out where the split asks for that.

        Args:
            rows: table positions; a bootstrap sample may hold one several times.
            seed: of the weights and of who is held out.

        Raises:
            UserError: the patients cannot be divided.
        """
        train = np.sort(np.asarray(rows, dtype=int))
        val = train[:0]
        if self.cfg.split.val_fraction > 0 and isinstance(self.model, NetConfig):
            indices = np.unique(train)  # nobody is on both sides
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
    """Return the run's pipeline, or that of another model on the same patients.

    Args:
        cfg: of the run.
        data: set up.
        model: such as a baseline, with inputs of its own.
    """
    assert data.cohort is not None
    names, raw = data.features, data.raw
    if model is not None and model.inputs is not None:
        names = list(model.inputs)
        raw = input_table(data.cohort.patients, names).to_numpy()
    outcomes = data.labels["expansion"].to_numpy(dtype=float)
    return Pipeline(cfg, model or cfg.model, tuple(names), raw, outcomes, asdict(cfg.label))
