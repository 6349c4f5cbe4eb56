"""A trained network behind its input layer: raw values in, probabilities out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hemexp.errors import UserError
from hemexp.models.input_layer import InputLayer
from hemexp.models.sacnn import CNN, MLP, SACNN, Attention, ParallelNetwork


class FittedNetwork(nn.Module):
    """A network behind its input layer.

    Args:
        model: name, init and sizes of the network, as in ``conf/model``.
        features: names of the inputs, in order.
        label: the definition that the training labels followed.

    Shape:
        Input (B, F) raw, NaN marks a gap; output (B, 2) logits.
    """

    def __init__(self, model: Mapping[str, Any], features: Sequence[str], label: Mapping[str, Any]) -> None:
        super().__init__()
        self.model, self.features, self.label = dict(model), list(features), dict(label)
        self.inputs = InputLayer(len(features))
        self.net = build_network(len(features), **model)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of raw inputs."""
        logits: Tensor = self.net(self.inputs(x))
        return logits

    @property
    def dtype(self) -> torch.dtype:
        """The type of its numbers."""
        return self.net.output.weight.dtype

    def content(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it: plain values and tensors, nobody's data."""
        parts = {"model": self.model, "features": self.features, "label": self.label}
        return {**parts, "state_dict": self.state_dict()}

    def predict(self, raw: np.ndarray) -> np.ndarray:
        """Return the probability of expansion for each patient; nobody's depends on who else is asked about.

        Shape:
            raw: (N, F), NaN marks a gap. Output: (N,), float64.
        """
        self.eval()
        with torch.inference_mode():
            inputs = torch.tensor(raw, dtype=self.dtype)  # (N, F)
            batches = (inputs[start : start + 1024] for start in range(0, len(inputs), 1024))
            chunks = [F.softmax(self(batch).double(), dim=1)[:, 1] for batch in batches]
        return torch.cat(chunks).numpy() if chunks else np.zeros(0)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "FittedNetwork":
        """Return the network of a checkpoint's content, ready to predict."""
        with torch.random.fork_rng(devices=[]):  # the first weights are drawn in vain
            net = cls(content["model"], content["features"], content["label"])
        net.to(content["state_dict"]["net.output.weight"].dtype)
        net.load_state_dict(content["state_dict"])
        return net.eval()


NETWORKS: dict[str, Callable[..., ParallelNetwork]] = {"sacnn": SACNN, "cnn": CNN, "attention": Attention, "mlp": MLP}


def build_network(num_features: int, *, name: str, init: str = "default", **sizes: Any) -> ParallelNetwork:
    """Build a network of `NETWORKS`; its weights come from torch's global generator.

    Args:
        num_features: inputs a patient.
        name: a key of `NETWORKS`.
        init: ``default``; ``zeros``, convolution weights and biases zero as the paper's section 3.2 says; or
            ``all_zeros``. Both are inert: a zeroed convolution gets a zero gradient through ReLU and never leaves
            zero, and a network of zeros answers one constant.
        sizes: the other arguments of the network's constructor.

    Raises:
        UserError: there is no such network.
    """
    if name not in NETWORKS:
        raise UserError(f"model.name={name}: must be one of {', '.join(NETWORKS)}")
    net = NETWORKS[name](num_features, **sizes)
    zeroed = {"default": (), "zeros": (nn.Conv1d,), "all_zeros": (nn.Conv1d, nn.Linear)}[init]
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, zeroed):
                for parameter in module.parameters():
                    parameter.zero_()
    return net
