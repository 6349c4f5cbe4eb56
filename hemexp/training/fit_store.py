"""Keep the results of fits that were trained elsewhere, such as in a batch of a sweep, until their run uses them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hemexp.config import TrainerConfig
from hemexp.errors import UserError
from hemexp.files.writing import set_aside
from hemexp.models.predictor import read_checkpoint
from hemexp.training.checkpoint import members_key, save_checkpoint
from hemexp.training.fit import fit
from hemexp.training.member import FitResult, Member

log = logging.getLogger(__name__)


class FitStore:
    """A folder of results. A result is found by the data and the settings of its member, so it is never of another.

    Args:
        directory: may be missing. A file that cannot be read is set aside with a warning; its fits are trained again.

    Attributes:
        seconds: the time that the fits took; a fit in a batch counts with its share.
    """

    def __init__(self, directory: Path) -> None:
        self.seconds = 0.0
        self._results: dict[str, dict[str, Any]] = {}
        for path in sorted(directory.glob("*.fits")):
            try:
                content = read_checkpoint(path)
                self._results |= content["results"]
                self.seconds += content["seconds"]
            except (UserError, KeyError, TypeError):
                log.warning("%s: cannot be read and is now %s; its fits are trained again", path, set_aside(path).name)

    def get(self, member: Member, trainer: TrainerConfig) -> FitResult | None:
        """Return the result of a member; None where it was not trained."""
        found = self._results.get(members_key([member], trainer))
        if found is None:
            return None
        history = pd.DataFrame({name: column.numpy() for name, column in found["history"].items()})
        return FitResult(**{**found, "history": history, "is_own": False})


def write_fits(
    path: Path, members: Sequence[Member], results: Sequence[FitResult], trainer: TrainerConfig, seconds: float
) -> None:
    """Write results for a `FitStore`."""
    records = {
        members_key([member], trainer): {
            **vars(result),
            "history": {
                str(name): torch.from_numpy(column.to_numpy(copy=True)) for name, column in result.history.items()
            },
        }
        for member, result in zip(members, results, strict=True)
    }
    save_checkpoint({"results": records, "seconds": seconds}, path)


def fit_missing(
    members: Sequence[Member], trainer: TrainerConfig, trained: FitStore | None, **options: Any
) -> list[FitResult]:
    """Return the results of all members: those in the store, and the others from `hemexp.training.fit.fit`."""
    found = [None if trained is None else trained.get(member, trainer) for member in members]
    missing = [member for member, result in zip(members, found, strict=True) if result is None]
    fitted = iter(fit(missing, trainer, **options))
    return [next(fitted) if result is None else result for result in found]
