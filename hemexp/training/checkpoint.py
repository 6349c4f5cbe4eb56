"""Read and write the training state in ``last.ckpt``, and recognize the members that it belongs to."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hemexp.config import TrainerConfig, hashed_values
from hemexp.errors import UserError
from hemexp.models.predictor import read_checkpoint
from hemexp.models.predictor import save_checkpoint as save_checkpoint
from hemexp.training.member import Member

State = dict[str, Any]
SHARED_SECONDS = "seconds"  # key of the state of a member that was trained with others: its share of their time
UNLOGGED = "unlogged"  # key of a state whose epochs were not logged yet


class CheckpointMismatch(UserError):
    """A checkpoint belongs to other members, or to the same members with other settings."""


def members_key(members: Sequence[Member], cfg: TrainerConfig) -> str:
    """Return a hash of the data and settings that determine the members' results."""
    settings = hashed_values(cfg)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for member in members:
        values = {**vars(member.training_set), **vars(member.training_set.preprocessing)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        content = [hashed_values(member.model), hashed_values(member.optimizer), member.seed, values["features"]]
        digest.update(json.dumps(content, sort_keys=True).encode())
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def load_checkpoint(path: Path) -> State:
    """Return the content of a last.ckpt.

    Raises:
        UserError: the file cannot be read.
    """
    return read_checkpoint(path)
