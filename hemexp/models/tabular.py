"""TabM and FT-Transformer from their authors' packages, with one training loop."""

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.models.estimator import Estimator, require
from hemexp.types import Array

EXTRA = "tabular"
BATCH_SIZE = 32  # with about 64 training patients: two steps an epoch


@dataclass(kw_only=True, eq=False)
class TabularNet(Estimator):
    """A network with early stopping: a validation part of its training rows chooses the best weights.

    Attributes:
        lr: AdamW's learning rate.
        weight_decay: AdamW's weight decay.
        max_epochs: largest number of epochs.
        patience: epochs without a better validation loss before training stops.
        val_fraction: share of the patients of each outcome in the validation part.
        num_features: inputs a patient.
        net: the fitted network, in double precision so that a probability does not depend on the other patients in a
            batch.
    """

    lr: float
    weight_decay: float
    max_epochs: int
    patience: int
    val_fraction: float
    num_features: int = field(init=False)
    net: Any = field(init=False)

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a new network; its weights come from torch's global generator."""

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of the K networks of an ensemble; K is 1 for a single network.

        Shape:
            x: (B, F). Output: (B, K).
        """

    def parameter_groups(self) -> Any:
        """Return the parameters for AdamW."""
        return self.net.parameters()

    def fit(self, X: Array, y: Array) -> Self:
        """Train, and load the best weights."""
        self.num_features = X.shape[1]
        in_val = _draw_validation(X, y, self.val_fraction, self.seed)
        inputs, outcomes = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
        with _one_thread(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            self.net = self.build()
            self._train((inputs[~in_val], outcomes[~in_val]), (inputs[in_val], outcomes[in_val]))
        self.net.double().eval()
        return self

    def _train(self, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> None:
        optimizer = torch.optim.AdamW(self.parameter_groups(), lr=self.lr, weight_decay=self.weight_decay)
        lowest, best, waited = math.inf, copy.deepcopy(self.net.state_dict()), 0
        for _ in range(self.max_epochs):
            self.net.train()
            for batch in torch.split(torch.randperm(len(train[0])), BATCH_SIZE):
                optimizer.zero_grad()
                logits = self.logits(train[0][batch])  # (B, K)
                targets = train[1][batch][:, None].expand_as(logits)
                loss = F.binary_cross_entropy_with_logits(logits, targets)  # mean of the losses of the K networks
                torch.autograd.backward(loss)
                optimizer.step()
            val_loss = float(F.binary_cross_entropy(self._probabilities(val[0]), val[1]))
            waited += 1
            if val_loss < lowest:
                lowest, best, waited = val_loss, copy.deepcopy(self.net.state_dict()), 0
            if waited >= self.patience:
                break
        self.net.load_state_dict(best)

    def _probabilities(self, x: Tensor) -> Tensor:
        """Return the mean probability of the K networks: (B, F) → (B,)."""
        self.net.eval()
        with torch.no_grad():
            return self.logits(x).sigmoid().mean(dim=1)

    def risk(self, X: Array) -> Array:
        """Return the mean probability of the K networks."""
        with _one_thread():
            parts = [self._probabilities(part) for part in torch.split(torch.tensor(X), 256)]
        return torch.cat(parts).numpy()

    def content(self) -> dict[str, Any]:
        """Return the weights in single precision, as they were trained."""
        # no rounding: they were trained in single precision
        state = {name: value.float() for name, value in self.net.state_dict().items()}
        return {"num_features": self.num_features, "state_dict": state}

    def restore(self, content: Mapping[str, Any]) -> Self:
        """Set the weights."""
        self.num_features = content["num_features"]
        with torch.random.fork_rng(devices=[]):  # building draws weights, which are then replaced
            self.net = self.build()
        self.net.load_state_dict(content["state_dict"])
        self.net.double().eval()
        return self


@dataclass(kw_only=True, eq=False)
class TabM(TabularNet):
    """TabM with the defaults of its README: 32 networks, 3 blocks, dropout 0.1; but blocks of 128 instead of 512.

    Smaller blocks suit so few patients. Its piecewise-linear embeddings are not used: their bins are values of single
    patients, and the checkpoint would hold them.
    """

    def build(self) -> nn.Module:
        """Return the package's network."""
        tabm = require("tabm", "tabm", EXTRA)
        net: nn.Module = tabm.TabM.make(n_num_features=self.num_features, cat_cardinalities=[], d_out=1, d_block=128)
        return net

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits: (B, F) → (B, K)."""
        logits: Tensor = self.net(x)[..., 0]
        return logits


@dataclass(kw_only=True, eq=False)
class FTTransformer(TabularNet):
    """FT-Transformer with the package's defaults for one block, the smallest size."""

    def build(self) -> nn.Module:
        """Return the package's network."""
        rtdl = require("ft_transformer", "rtdl_revisiting_models", EXTRA)
        sizes = rtdl.FTTransformer.get_default_kwargs(n_blocks=1)
        net: nn.Module = rtdl.FTTransformer(n_cont_features=self.num_features, cat_cardinalities=[], d_out=1, **sizes)
        return net

    def parameter_groups(self) -> Any:
        """Return the package's groups: embeddings, normalizations and biases have no weight decay."""
        return self.net.make_parameter_groups()

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits: (B, F) → (B, K)."""
        logits: Tensor = self.net(x, None)
        return logits


def _draw_validation(X: Array, y: Array, fraction: float, seed: int) -> Array:
    """Return the validation patients: a fraction of each outcome, at least one of them, and never all of them.

    A bootstrap sample may hold a patient several times. All copies go to the same part.

    Shape:
        X: (N, F); y: (N,) 1 or 0. Output: (N,) of bool.
    """
    rng = np.random.default_rng(seed)
    _, first, patient = np.unique(np.column_stack([X, y]), axis=0, return_index=True, return_inverse=True)
    in_val = np.zeros(len(first), dtype=bool)
    for outcome in (0, 1):
        rows = rng.permutation(np.flatnonzero(y[first] == outcome))
        in_val[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    return np.asarray(in_val[patient])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, so that results do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
