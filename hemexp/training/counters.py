"""Random numbers that are a function of a key and a counter, the same on a CPU and on a GPU (SplitMix64).

Steele, Lea and Flood, OOPSLA 2014, doi:10.1145/2660193.2660195. Number i of a key is the finalizer of ``key + i g``.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BITS = 53  # of a random number
_GAMMA, _FIRST, _SECOND = (
    number - 2**64 for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)  # as int64, which wraps around as uint64 does


def build_keys(seeds: Sequence[int]) -> Tensor:
    """Return an independent key for each seed, (M,) int64."""
    states = [np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] for seed in seeds]
    return torch.from_numpy(np.array(states, dtype=np.uint64).view(np.int64))


def derive_keys(keys: Tensor, stream: int) -> Tensor:
    """Return the keys of a stream, such as an epoch: (M,)."""
    return _finalize(keys ^ _finalize(torch.full_like(keys[:1], stream + 1) * _GAMMA))


def draw(keys: Tensor, count: int, first: int = 0) -> Tensor:
    """Return `count` numbers of each key after the `first` ones, uniform integers from 0 to 2^53 - 1.

    Shape:
        keys: (M,). Output: (M, count), int64.
    """
    counters = torch.arange(first + 1, first + count + 1, device=keys.device) * _GAMMA
    return _shift(_finalize(keys.unsqueeze(1) + counters), 64 - BITS)


def _finalize(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Return a logical shift to the right: ``>>`` repeats the sign."""
    shifted: Tensor = (z >> bits) & (2 ** (64 - bits) - 1)
    return shifted
