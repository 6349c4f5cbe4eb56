"""First layer of a network: fill gaps and scale raw values, so that a checkpoint predicts from raw files."""

import torch
from torch import Tensor, nn

from hemexp.data.imputation import Preprocessing


class InputLayer(nn.Module):
    """Fill gaps and scale: ``clamp((x - mean) / scale, -clip, clip)``. The statistics are buffers.

    Args:
        num_features: inputs a patient.

    Shape:
        Input: (B, F), NaN marks a gap. Output: (B, F).
    """

    fill: Tensor
    mean: Tensor
    scale: Tensor
    clip: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("fill", torch.zeros(num_features))
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        self.register_buffer("clip", torch.tensor(torch.inf))

    def set(self, preprocessing: Preprocessing) -> None:
        """Set the statistics of a training part."""
        for name in ("fill", "mean", "scale", "clip"):
            buffer: Tensor = getattr(self, name)
            buffer.copy_(torch.as_tensor(getattr(preprocessing, name)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's inputs."""
        x = torch.where(x.isnan(), self.fill, x)  # (B, F)
        return ((x - self.mean) / self.scale).clamp(-self.clip, self.clip)
