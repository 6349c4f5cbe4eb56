"""From a cohort to batches: merging, labels, inputs, split and imputation, in that order."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from hemexp.cohort import Cohort, load_cohort
from hemexp.cohort.labels import label_patients, note_unseen
from hemexp.config import DataConfig, FeaturesConfig, LabelConfig, SplitConfig
from hemexp.features import feature_names, input_table
from hemexp.imputation import fit_preprocessing
from hemexp.split import split_patients
from hemexp.task import Batch


class Batches:
    """Batches of patients that stay in memory; which patients go together depends on seed and epoch alone.

    Shape:
        inputs (N, F), labels (N,); each batch (B, F) and (B,).
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        batch_size: int | None,
        seed: int = 0,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.inputs, self.labels = inputs, labels
        self.batch_size = max(1, min(batch_size or len(labels), len(labels)))
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if len(self) == 1:
            yield self.inputs, self.labels
            return
        order = np.random.default_rng([self.seed, self.epoch()]).permutation(len(self.labels))
        for rows in np.split(order, range(self.batch_size, len(order), self.batch_size)):
            yield self.inputs[rows], self.labels[rows]


class ExpansionDataModule(LightningDataModule):
    """A cohort, made ready for training by `setup`, which sets the attributes.

    Attributes:
        cohort: the checked tables.
        labels: a row a patient, as `hemexp.cohort.labels.label_patients` returns it.
        split: the part of every patient.
        features: names of the inputs.
        raw: (N, F) inputs of all patients in table order, gaps as NaN.
        preprocessing: imputation and scaling, fitted on the training part.
    """

    def __init__(
        self,
        data: DataConfig,
        label: LabelConfig,
        features: FeaturesConfig,
        split: SplitConfig,
        seed: int = 0,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
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
        data, label, features, split = self.config
        self.features = feature_names(features.name)
        cohort = load_cohort(data)
        self.labels = label_patients(cohort.scans, label)
        note_unseen(self.labels, cohort.scans, label, cohort.where, cohort.findings)
        self.split = split_patients(cohort.patients, self.labels["expansion"], split, self.seed)
        self.raw = input_table(cohort.patients, self.features).to_numpy()
        train = self.split.positions("train")
        self.preprocessing, completed = fit_preprocessing(self.raw[train], features.clip)
        self._train = self._tensors(completed, train)
        val = self.split.positions("val")
        self._val = self._tensors(self.raw[val], val)
        self.cohort = cohort

    @property
    def prevalence(self) -> float:
        """The share of expansion in the training part."""
        return float(self._train[1].float().mean())

    def _tensors(self, inputs: np.ndarray, rows: list[int]) -> Batch:
        labels = self.labels["expansion"].to_numpy()[rows]
        return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.long)

    def train_dataloader(self) -> Batches:
        """Return the training patients, gaps filled from the three values before them."""

        def epoch() -> int:
            return self.trainer.current_epoch if self.trainer else 0

        return Batches(*self._train, self.batch_size, self.seed, epoch)

    def val_dataloader(self) -> Batches:
        """Return the validation patients as one batch; no batch where there are none."""
        return Batches(*self._val, batch_size=None)
