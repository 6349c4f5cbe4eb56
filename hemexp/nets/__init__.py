"""Networks: scaled inputs in, two logits out. They know no workbook, no loss and no trainer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hemexp.errors import UserError
from hemexp.nets.sacnn import CNN, MLP, SACNN, Attention, ParallelNet

NETS: dict[str, Callable[..., ParallelNet]] = {"sacnn": SACNN, "cnn": CNN, "attention": Attention, "mlp": MLP}


def build_net(num_features: int, *, name: str, init: str = "default", **sizes: Any) -> ParallelNet:
    """Build a network of `NETS`; its weights come from torch's global generator.

    Args:
        num_features: inputs a patient.
        name: a key of `NETS`.
        init: ``default``; ``zeros``, convolution weights and biases zero as the paper's section 3.2 says; or
            ``all_zeros``. Both are inert: a zeroed convolution gets a zero gradient through ReLU and never leaves
            zero, and a network of zeros answers one constant.
        sizes: the other arguments of the network's constructor.

    Raises:
        UserError: there is no such network.
    """
    if name not in NETS:
        raise UserError(f"model.name={name}: must be one of {', '.join(NETS)}")
    net = NETS[name](num_features, **sizes)
    zeroed = {"default": (), "zeros": (nn.Conv1d,), "all_zeros": (nn.Conv1d, nn.Linear)}[init]
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, zeroed):
                for parameter in module.parameters():
                    parameter.zero_()
    return net
