"""From a cohort to a fold: merging, labels, inputs, split and imputation, in that order."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from hemexp.cohort.labels import check_follow_up, label_patients
from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import DataConfig, FeaturesConfig, LabelConfig, SplitConfig
from hemexp.data.features import feature_names, input_table
from hemexp.data.split import split_patients
from hemexp.data.training_set import TrainingSet, build_training_set


class ExpansionDataModule(LightningDataModule):
    """A cohort, made ready for training by `setup`, which sets the attributes.

    Args:
        inputs: names of the model's own inputs, for one that does not take those of `features`.

    Attributes:
        cohort: the checked tables.
        labels: a row a patient, as `hemexp.cohort.labels.label_patients` returns it.
        split: the part of every patient.
        features: names of the inputs.
        raw: (N, F) inputs of all patients in table order, gaps as NaN.
        training_set: the training part, made ready by its own imputation and scaling, and the validation part.
    """

    training_set: TrainingSet

    def __init__(
        self,
        data: DataConfig,
        label: LabelConfig,
        features: FeaturesConfig,
        split: SplitConfig,
        seed: int = 0,
        batch_size: int | None = None,
        inputs: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.features = feature_names(features.name) if inputs is None else list(inputs)
        self.config = (data, label, features, split)
        self.seed, self.batch_size = seed, batch_size
        self.cohort: Cohort | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read and prepare everything, once.

        Raises:
            UserError: the files have errors, or a part would be empty or hold one class only.
        """
        if self.cohort is not None:
            return
        data, label, _, split = self.config
        cohort = load_cohort(data)
        self.labels = label_patients(cohort.scans, label)
        check_follow_up(self.labels, cohort.scans, label, cohort.locate, cohort.findings)
        self.split = split_patients(cohort.patients, self.labels["expansion"], split, self.seed)
        self.raw = input_table(cohort.patients, self.features).to_numpy()
        self.training_set = self.training_set_for(self.split.positions("train"), self.split.positions("val"))
        self.cohort = cohort

    def training_set_for(self, train: Sequence[int], val: Sequence[int] = ()) -> TrainingSet:
        """Return another division of the same patients, imputed and scaled by its own training part.

        Args:
            train: table positions, in table order, of patients with a known outcome.
            val: those held out to watch the learning; see `TrainingSet`.
        """
        _, label, features, _ = self.config
        outcomes, names = self.labels["expansion"].to_numpy(), tuple(self.features)
        return build_training_set(
            self.raw, outcomes, train, val, clip=features.clip, features=names, label=asdict(label)
        )

    @property
    def prevalence(self) -> float:
        """The share of expansion in the training part."""
        return float(self.training_set.labels.mean())

    def train_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        """Return batches of raw training inputs (B, F), gaps filled, and labels (B,), for a task of your own."""
        return self._loader(self.training_set.inputs, self.training_set.labels, shuffle=self.batch_size is not None)

    def val_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        """Return the validation patients alike, gaps as NaN."""
        return self._loader(self.training_set.val_inputs, self.training_set.val_labels, shuffle=False)

    def _loader(self, inputs: np.ndarray, labels: np.ndarray, shuffle: bool) -> DataLoader[tuple[torch.Tensor, ...]]:
        dataset = TensorDataset(torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels))
        return DataLoader(dataset, self.batch_size or max(1, len(dataset)), shuffle=shuffle)
