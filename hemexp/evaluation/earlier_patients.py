"""Find the patients that the models before a run's model have learned from.

A run can begin from the weights of another one (``model.init_from``), and it can be an update of another one.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.data.recognition import ANCESTORS, read_own_scans, recognize
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
        _add(found, find_ancestors(run, result, scans, pseudonym_key))
        own = read_own_scans(run, result.recognition_digest)
        is_of_run = path.name == "last.ckpt" or result.model_digest in {None, held}
        if own is None or not is_of_run or digest not in {None, held}:
            found.unknown = f"{path}: {run} does not hold the patients that it has learned from"
            break
        _add(found, EarlierPatients(_find_learned(scans, own)))
        if result.pseudonym_key != pseudonym_key:
            found.unknown = f"{run}: its patients have other names (privacy.pseudonymize)"
        checkpoint, digest = (result.config.get("model") or {}).get("init_from"), result.first_weights_digest
    return found


def find_run_ancestors(run: Path, result: RunResult, scans: pd.DataFrame, pseudonym_key: str | None) -> EarlierPatients:
    """Recognize the training patients of all models that came before the model of a run; see `find_earlier_patients`.

    Args:
        run: its directory.
        result: of the run.
        scans: of the cohort.
        pseudonym_key: check value of the key by which its patients are named.
    """
    init_from = (result.config.get("model") or {}).get("init_from")
    found = find_earlier_patients(init_from, scans, pseudonym_key, result.first_weights_digest)
    return _add(found, find_ancestors(run, result, scans, pseudonym_key))


def find_ancestors(run: Path, result: RunResult, scans: pd.DataFrame, pseudonym_key: str | None) -> EarlierPatients:
    """Recognize the training patients of the runs that an updated run came from, by its folder ``ancestors/``."""
    found = EarlierPatients()
    for number, step in enumerate(result.updated_from, 1):
        digest, name = step.recognition_digest, f"{ANCESTORS}/{number}.csv"
        own = read_own_scans(run, digest, name) if digest else None
        if own is None:
            found.unknown = f"{run}: the patients of the model that it was updated from are not known"
            continue
        _add(found, EarlierPatients(_find_learned(scans, own)))
        if step.pseudonym_key != pseudonym_key:
            found.unknown = f"{run}: the patients of the model that it was updated from have other names"
    return found


def _find_learned(scans: pd.DataFrame, own: pd.DataFrame) -> dict[int, str]:
    """Return the training patients of a run by their position in a cohort, with what recognized each."""
    roles = recognize(scans, own)
    learned = np.flatnonzero(roles["role"] == "train").tolist()
    return {index: str(roles["recognized_by"].iloc[index]) for index in learned}


def _add(found: EarlierPatients, more: EarlierPatients) -> EarlierPatients:
    found.recognized_by = more.recognized_by | found.recognized_by
    found.unknown = found.unknown or more.unknown
    return found
