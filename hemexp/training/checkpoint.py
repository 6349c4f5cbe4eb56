"""Read and write the training state in ``last.ckpt``, and recognize the members that it belongs to."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from hemexp.config import TrainerConfig, hashed_values, list_code
from hemexp.config.code import Code, read_code
from hemexp.config.trainer_arguments import list_targets
from hemexp.errors import UserError
from hemexp.files.writing import set_aside
from hemexp.models.predictor import read_checkpoint
from hemexp.models.predictor import save_checkpoint as save_checkpoint
from hemexp.training.member import Member

State = dict[str, Any]
ENGINE = 2  # raised when the same settings give other bits; an older state is not continued
log = logging.getLogger(__name__)


def list_member_code(members: Sequence[Member]) -> Code:
    """Return the digests of the user's source files that the fits of members need."""
    code = Code()
    for member in members:
        code |= list_code(member.model, member.optimizer, member.scheduler, member.loss)
        code |= read_code(list_targets(member.callbacks))
    return code


def members_key(members: Sequence[Member], cfg: TrainerConfig) -> str:
    """Return a hash of the data and settings that determine the members' results."""
    settings = {"engine": ENGINE, **hashed_values(cfg)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for member in members:
        values = {**vars(member.training_set), **vars(member.training_set.preprocessing)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        content = [hashed_values(member.model), hashed_values(member.optimizer), member.seed, values["features"]]
        others = map(hashed_values, (member.scheduler, member.loss))
        content += [values for values in others if len(values) > 1]  # as earlier versions where they are the defaults
        if member.model.is_network and not member.is_batched:
            content += ["lightning", member.callbacks]
        content += [code] if (code := list_member_code([member])) else []
        if member.is_composite and values["pool"] is not None:
            content += [member.ensemble, member.calibrate, member.val_fraction]
            arrays |= {"pool": values["pool"].raw, "pool_rows": values["pool"].rows}
        digest.update(json.dumps(content, sort_keys=True).encode())
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def load_state(path: Path) -> State | None:
    """Return the content of a last.ckpt; None where there is none, or where the network was trained elsewhere.

    A file that cannot be read, or is not such a file, is set aside with a warning: what it was for begins again.
    """
    if not path.is_file():
        return None
    try:
        state = read_checkpoint(path)
        if "digest" in state:  # a model without the state of its training
            return None
        if state.get("engine") == ENGINE and {"callbacks", "networks", "num_epochs"} <= state.keys():
            return state
        reason = f"{path}: is not a state of a training by this version of hemexp"
    except UserError as error:
        reason = str(error)
    log.warning("%s; the file is now %s, and the training begins again", reason, set_aside(path).name)
    return None


class WholeFileCheckpoints(TorchCheckpointIO):
    """Let Lightning write a checkpoint beside its place; its own code writes it into ``$TMPDIR`` and moves it."""

    def save_checkpoint(self, checkpoint: State, path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint, completely or not at all."""
        save_checkpoint(checkpoint, Path(path))
