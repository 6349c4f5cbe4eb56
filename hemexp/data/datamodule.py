"""Load a cohort and prepare it for training: labels, inputs, split and the run's training set."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Self

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import BatchSampler, DataLoader, Sampler, TensorDataset

from hemexp.cohort.labels import check_follow_up, get_outcome_column, label_patients
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import DataConfig, FeaturesConfig, LabelConfig, ModelConfig, SplitConfig, TrainConfig
from hemexp.data.features import Inputs, check_mapped_inputs, choose_inputs, constant_inputs, fixed_inputs, input_table
from hemexp.data.leaks import LeakyInput, find_leaky_inputs
from hemexp.data.split import draw_validation, number_persons, overfit_subset, split_patients
from hemexp.data.training_set import TrainingSet, build_training_set
from hemexp.errors import UserError
from hemexp.types import Array

# at most one: the jobs of a sweep often have the same cohort and outcome
_last_labels: list[tuple[object, pd.DataFrame, dict[tuple[str, ...], dict[str, LeakyInput]]]] = []


class EpochOrder(Sampler[int]):
    """A new order of the patients in each epoch, by its number, so that a resumed training has the same orders.

    Args:
        num_patients: to order.
        seed: of the orders.
    """

    def __init__(self, num_patients: int, seed: int) -> None:
        self.num_patients, self.seed, self.epoch = num_patients, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_patients

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self.seed << 20) + self.epoch)
        self.epoch += 1
        yield from torch.randperm(self.num_patients, generator=generator).tolist()


class MiniBatches(BatchSampler):
    """Mini-batches without one of a single patient, in which batch norm fails: that patient joins the last batch."""

    sampler: EpochOrder

    def __iter__(self) -> Iterator[list[int]]:
        waiting: list[int] = []
        for batch in super().__iter__():
            if len(batch) == 1 < self.batch_size:
                waiting, batch = [], [*waiting, *batch]
            if waiting:
                yield waiting
            waiting = batch
        yield waiting

    def __len__(self) -> int:
        return super().__len__() - (
            len(self.sampler) % self.batch_size == 1 and 1 < self.batch_size < len(self.sampler)
        )


def find_smallest_batch(num_patients: int, batch_size: int | None) -> int:
    """Return the number of training patients in the smallest of the mini-batches."""
    if batch_size is None or batch_size >= num_patients:
        return num_patients
    return rest if (rest := num_patients % batch_size) > 1 else batch_size


class PatientLoaders(LightningDataModule):
    """Batches of one training set for a LightningModule: inputs (B, F) in their own units, and labels (B,).

    Args:
        training_set: the patients.
        batch_size: patients in a mini-batch; None for the full batch.
        dtype: of the inputs.
        seed: of the orders of mini-batches.
    """

    training_set: TrainingSet

    def __init__(
        self,
        training_set: TrainingSet | None = None,
        batch_size: int | None = None,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if training_set is not None:
            self.training_set = training_set
        self.batch_size, self.dtype, self.seed = batch_size, dtype, seed

    def train_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        """Return batches of the training patients, gaps filled; mini-batches are in a new order in each epoch."""
        return self._loader(self.training_set.inputs, self.training_set.labels, self.batch_size is not None)

    def val_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        """Return batches of the validation patients, NaN where a value is missing."""
        return self._loader(self.training_set.val_inputs, self.training_set.val_labels, False)

    def _loader(self, inputs: Array, labels: Array, shuffle: bool) -> DataLoader[tuple[torch.Tensor, ...]]:
        dataset = TensorDataset(torch.tensor(inputs, dtype=self.dtype), torch.tensor(labels))
        size = self.batch_size or max(1, len(dataset))
        # with a generator of its own, the loader does not draw from the global one
        if not shuffle:
            return DataLoader(dataset, size, generator=torch.Generator())
        batches = MiniBatches(EpochOrder(len(dataset), self.seed), size, drop_last=False)
        return DataLoader(dataset, batch_sampler=batches, generator=torch.Generator())


class ExpansionDataModule(PatientLoaders):
    """A cohort with its labels, inputs and split. `setup` sets the attributes.

    Args:
        data: the cohort's files, or a synthetic cohort.
        label: the outcome.
        features: the choice of inputs, and the clipping of scaled inputs.
        split: the division into parts.
        seed: of the random divisions.
        batch_size: patients in a mini-batch of `train_dataloader`; None for the full batch.
        model: may have fixed inputs, which it uses instead of `features`.
        num_patients: train on this many patients only, as in ``debug=overfit``; 0 for all.

    Attributes:
        cohort: the checked tables.
        labels: one row a patient, as `hemexp.cohort.labels.label_patients` returns it.
        split: the part of every patient.
        groups: (N,) numbers that are equal for all ids of one person.
        features: names of the inputs.
        left_out: columns that are not used as inputs, with the reason.
        constant: inputs with the same value in the whole training part.
        leaky_inputs: inputs that hold the outcome or values of later scans.
        raw: (N, F) inputs of all patients in table order, NaN where a value is missing.
        fitted_indices: table indices of the patients in `training_set`, validation patients included.
        training_set: the training and validation patients of the run, imputed once.

    Example:
        >>> from hemexp.config import TrainConfig
        >>> from hemexp.config.compose import load_config
        >>> data = ExpansionDataModule.from_config(load_config(TrainConfig, ["data.num_patients=50"]))
        >>> data.setup()
        >>> data.training_set.inputs.shape
        (30, 72)
    """

    features: list[str]
    left_out: dict[str, str]
    constant: list[str]
    leaky_inputs: dict[str, LeakyInput]
    fitted_indices: list[int]

    def __init__(
        self,
        data: DataConfig,
        label: LabelConfig,
        features: FeaturesConfig,
        split: SplitConfig,
        seed: int = 0,
        batch_size: int | None = None,
        model: ModelConfig | None = None,
        num_patients: int = 0,
        key_file: str | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        self.key_file = key_file
        self.data_config, self.label_config, self.split_config, self.clip = data, label, split, features.clip
        self.features_config, self.model_config = features, model
        self.num_patients = num_patients
        self.cohort: Cohort | None = None

    @classmethod
    def from_config(cls, cfg: TrainConfig) -> Self:
        """Return the data module of a run."""
        parts = (cfg.data, cfg.label, cfg.features, cfg.split)
        key_file = cfg.privacy.pseudonymize
        return cls(*parts, cfg.seed, cfg.trainer.batch_size, cfg.model, cfg.debug.num_patients, key_file)

    def setup(self, stage: str | None = None) -> None:
        """Read and prepare the cohort. A second call does nothing.

        Raises:
            UserError: the files have errors, a part would be empty or hold one class only, or inputs are missing.
        """
        if self.cohort is not None:
            return
        cohort = load_cohort(self.data_config, key_file=self.key_file)
        state = (cohort.data_hash, cohort.mapping, self.label_config)
        if not _last_labels or _last_labels[0][0] != state:
            _last_labels[:] = [(state, label_patients(cohort.scans, self.label_config, cohort.mapping), {})]
        labels, leaky_inputs = _last_labels[0][1:]
        self.labels = labels.copy()
        check_follow_up(self.labels, cohort.scans, self.label_config, cohort.locate, cohort.findings, cohort.mapping)
        outcomes = self.labels["expansion"].to_numpy()
        self.groups = number_persons(len(labels), cohort.same_patients)
        self.split = split_patients(
            cohort.patients, self.labels["expansion"], self.split_config, self.seed, self.groups
        )
        train, val = np.asarray(self.split.indices("train")), np.asarray(self.split.indices("val"), dtype=int)
        if self.split_config.fit_on == "all":
            train = np.sort(np.concatenate([train, self.split.indices("test")]).astype(int))
        self.fitted_indices = [*train.tolist(), *val.tolist()]
        inputs = self._choose_inputs(cohort)
        check_mapped_inputs(cohort.mapping, inputs.names)
        self.features, self.left_out = inputs.names, inputs.left_out
        self.raw = input_table(cohort.patients, self.features).to_numpy()
        names = tuple(self.features)
        if names not in leaky_inputs:
            leaky_inputs[names] = find_leaky_inputs(cohort.scans, labels, names, self.raw)
        self.leaky_inputs = leaky_inputs[names]
        if self.num_patients:
            self.fitted_indices = overfit_subset(outcomes, self.fitted_indices, self.num_patients)
            fraction = self.split_config.val_fraction
            train, val = draw_validation(outcomes, self.fitted_indices, fraction, self.seed, self.groups)
        self.constant = constant_inputs(self.raw[self.fitted_indices], self.features)
        self.training_set = self.build_training_set(train, val)
        self.cohort = cohort

    def _choose_inputs(self, cohort: Cohort) -> Inputs:
        model = self.model_config
        if model is None or model.inputs is None:
            outcome = get_outcome_column(cohort.scans, self.label_config, cohort.mapping)
            return choose_inputs(cohort, self.features_config, self.fitted_indices, outcome)
        names, empty = fixed_inputs(model, self.get_training_patients(cohort))
        if empty:
            raise UserError(
                f"model={model.name}: needs {', '.join(empty)}, which has no value in the training part; rule: the "
                "inputs of this model are fixed; choose another model"
            )
        return Inputs(names)

    def get_training_patients(self, cohort: Cohort) -> pd.DataFrame:
        """Return the first scans of the training part, without the column that holds the outcome."""
        outcome = get_outcome_column(cohort.scans, self.label_config, cohort.mapping)
        return cohort.patients.iloc[self.fitted_indices].drop(columns=[outcome] if outcome else [])

    def build_training_set(self, train: Sequence[int] | Array, val: Sequence[int] | Array = ()) -> TrainingSet:
        """Build the training set of another division of the same patients, such as a fold.

        Args:
            train: table indices, in table order, of patients with a known outcome.
            val: table indices of the validation patients; see `TrainingSet`.
        """
        labels, names, label = self.labels["expansion"].to_numpy(), tuple(self.features), asdict(self.label_config)
        return build_training_set(self.raw, labels, train, val, clip=self.clip, features=names, label=label)

    @property
    def learned_roles(self) -> list[str]:
        """The roles of the patients; ``train`` for every patient that the model has learned from."""
        fitted = set(self.fitted_indices)
        return ["train" if index in fitted else role for index, role in enumerate(self.split.roles)]

    @property
    def prevalence(self) -> float:
        """Share of patients with expansion in the training part."""
        return float(self.labels["expansion"].to_numpy()[self.split.indices("train")].mean())
