"""Number of members that are trained together on one device."""

import os
from dataclasses import asdict

import torch

from hemexp.config import TrainerConfig
from hemexp.hardware import GPU_SHARES
from hemexp.training.member import Member

_CPU_GROUP = 8  # members of a group on a CPU; larger groups are not faster, as they exceed the caches
_CPU_BYTES, _GPU_PART = 2**31, 0.8  # memory limit of a group


def compute_group_size(member: Member, trainer: TrainerConfig, shares: int = 1) -> int:
    """Return the number of members like this one to train at once.

    Args:
        member: a network.
        trainer: the device, batch size and precision.
        shares: processes of this fit on the same GPU.
    """
    sizes, training_set = asdict(member.model), member.training_set
    rows = min(len(training_set.labels), trainer.batch_size or len(training_set.labels))
    channels, heads = sum(sizes.get("channels", [])), sizes.get("num_heads", 0) * (1 + sizes.get("embed_dim", 0) // 2)
    floats = rows * len(training_set.features) * (8 + 4 * channels + 4 * heads)  # roughly, of one training step
    weights = sizes["hidden_dim"] * len(training_set.features) * (sizes.get("embed_dim", 0) + channels)
    bytes_needed: int = trainer.precision // 8 * (floats + 6 * weights)
    if trainer.accelerator in {"gpu", "cuda"}:
        shares *= int(os.environ.get(GPU_SHARES, "1"))
        return max(1, int(_GPU_PART * _free_gpu_bytes(trainer) / shares / bytes_needed))
    return max(1, min(_CPU_GROUP, _CPU_BYTES // bytes_needed))


def _free_gpu_bytes(trainer: TrainerConfig) -> int:
    """Return the free memory of the GPU, or of the fullest one if groups are trained on all of them.

    Memory that PyTorch's allocator keeps for later is free, although the driver does not count it as free.
    """
    devices = trainer.devices if isinstance(trainer.devices, list) else range(torch.cuda.device_count())
    return min(
        torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        for device in devices
    )
