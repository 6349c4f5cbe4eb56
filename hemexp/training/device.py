"""Whether a tensor is on the CPU, where looking at its values costs little. On a GPU, it waits for the device."""

from torch import Tensor


def is_cpu(tensor: Tensor) -> bool:
    """Return whether a tensor is on the CPU."""
    return tensor.device.type == "cpu"
