"""Find the patients that the first weights of a run (``model.init_from``) have learned from."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.data.recognition import read_own_scans, recognize
from hemexp.files.result import RESULT, RunResult, read_result
from hemexp.models.predictor import read_digest

_PLACES = {"checkpoints", "model"}  # of a checkpoint in the directory of its run


@dataclass
class EarlierPatients:
    """The patients of a cohort that earlier runs have learned from.

    Attributes:
        recognized_by: how each was recognized, by its position among the patients of the cohort.
        unknown: why more of them may not be recognized; empty where all are.
    """

    recognized_by: dict[int, str] = field(default_factory=dict)
    unknown: str = ""


def find_earlier_patients(
    checkpoint: str | None, scans: pd.DataFrame, pseudonym_key: str | None, digest: str | None = None
) -> EarlierPatients:
    """Recognize the training patients of the run that holds a checkpoint, and of the runs that it began from.

    Args:
        checkpoint: with the first weights; None finds no patients.
        scans: of the cohort.
        pseudonym_key: check value of the key by which its patients are named.
        digest: of the checkpoint when it was used; None if it is used now.

    Raises:
        UserError: a file of these runs is damaged.
    """
    found = EarlierPatients()
    while checkpoint is not None and not found.unknown:
        path = Path(checkpoint)
        run = path.parent.parent
        if not path.is_file() or path.parent.name not in _PLACES or not (run / RESULT).is_file():
            found.unknown = f"{path}: is not in a run: the patients that it has learned from are not known"
            break
        result, held = read_result(run / RESULT, RunResult), read_digest(path)
        own = read_own_scans(run, result.recognition_digest)
        is_of_run = path.name == "last.ckpt" or result.model_digest in {None, held}
        if own is None or not is_of_run or digest not in {None, held}:
            found.unknown = f"{path}: {run} does not hold the patients that it has learned from"
            break
        roles = recognize(scans, own)
        learned = np.flatnonzero(roles["role"] == "train").tolist()
        found.recognized_by = {
            index: str(roles["recognized_by"].iloc[index]) for index in learned
        } | found.recognized_by
        if result.pseudonym_key != pseudonym_key:
            found.unknown = f"{run}: its patients have other names (privacy.pseudonymize)"
        checkpoint, digest = (result.config.get("model") or {}).get("init_from"), result.first_weights_digest
    return found
