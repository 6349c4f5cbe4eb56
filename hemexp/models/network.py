"""A trained network with its input layer: raw values in, probabilities out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.config.registry import describe_setting
from hemexp.errors import UserError
from hemexp.models.external import errors_of
from hemexp.models.input_layer import InputLayer
from hemexp.models.registry import build_network, get_source
from hemexp.models.sacnn import ParallelNetwork
from hemexp.types import Array


class FittedNetwork(nn.Module):
    """A network and the input layer that prepares raw inputs for it. `FittedEstimator` has the same methods.

    Args:
        model: name and settings of the network, as in ``model``.
        features: names of the inputs, in order.
        label: the definition of the training labels.

    Shape:
        Input: (B, F) raw, NaN marks a gap. Output: (B, 2) logits.
    """

    def __init__(self, model: Mapping[str, Any], features: Sequence[str], label: Mapping[str, Any]) -> None:
        super().__init__()
        self.model, self.features, self.label = dict(model), list(features), dict(label)
        self.inputs = InputLayer(len(features))
        self.net = build_network(len(features), **model)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of raw inputs."""
        logits: Tensor = self.net(self.inputs(x))
        if isinstance(self.net, ParallelNetwork) or logits.shape == (len(x), 2):
            return logits
        if logits.numel() != len(x):  # of a network from outside
            source, rule = describe_setting("model", self.model), "rule: (B, 2), (B, 1) or (B,)"
            raise UserError(f"{source}: returned {tuple(logits.shape)} for {len(x)} patients; {rule}")
        return torch.stack([torch.zeros_like(logits.reshape(-1)), logits.reshape(-1)], dim=1)  # the logit of expansion

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        return self.inputs.mean.dtype

    def predict(self, raw: Array) -> Array:
        """Return the probability of expansion of each patient. It does not depend on the other patients.

        Shape:
            raw: (N, F), NaN marks a gap. Output: (N,), float64.
        """
        self.eval()
        with torch.inference_mode():
            inputs = torch.tensor(raw, dtype=self.dtype)  # (N, F)
            batches = (inputs[start : start + 1024] for start in range(0, len(inputs), 1024))
            with errors_of(describe_setting("model", self.model)):
                chunks = [F.softmax(self(batch).double(), dim=1)[:, 1] for batch in batches]
        return torch.cat(chunks).numpy() if chunks else np.zeros(0)

    def content(self) -> dict[str, Any]:
        """Return the content of a checkpoint: plain values and tensors, without any patient's values."""
        settings = {"model": self.model, "features": self.features, "label": self.label}
        return {**settings, "state_dict": self.state_dict(), **get_source(self.model)}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "FittedNetwork":
        """Return the network of a checkpoint's content, ready to predict."""
        with torch.random.fork_rng(devices=[]):  # building the network draws weights, which are then replaced
            net = cls(content["model"], content["features"], content["label"])
        net.to(content["state_dict"]["inputs.mean"].dtype)
        net.load_state_dict(content["state_dict"])
        return net.eval()
