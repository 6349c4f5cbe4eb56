"""Fit the members whose models are estimators, in parallel if the fits take long.

The processes that fit import this module, so it does not import Lightning, which takes seconds.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hemexp.config import BaselineConfig, FirthConfig, LogisticConfig, ModelConfig, Ridge2Config
from hemexp.hardware import max_workers
from hemexp.models.fitted_estimator import fit_estimator
from hemexp.training.member import FitResult, Member

_MIN_PARALLEL = 4  # members; fewer are fitted in this process
_MIN_PROBABILITY = 1e-15  # keeps the logarithm finite


def fit_estimators(members: Sequence[Member], num_workers: int | None) -> Iterator[FitResult]:
    """Fit every member's estimator to its training patients, one by one. Validation patients are not used.

    Args:
        members: with estimators as models.
        num_workers: processes; by default one for each CPU core, and at most one for each GiB of memory.

    Raises:
        UserError: a package is missing, or a model cannot be fitted to its patients.
    """
    num_workers = num_workers or max_workers(1)
    slow = [member for member in members if not _is_quick(member.model)]
    if len(slow) < _MIN_PARALLEL or num_workers == 1:
        return map(_fit, members)
    from joblib import Parallel, delayed

    parallel = iter(Parallel(n_jobs=num_workers, return_as="generator")(delayed(_fit)(member) for member in slow))
    return (_fit(member) if _is_quick(member.model) else next(parallel) for member in members)


def _is_quick(model: ModelConfig) -> bool:
    """Return whether a fit takes milliseconds, less than the start of a process."""
    if isinstance(model, LogisticConfig):
        return model.C is not None  # else it is chosen by cross-validation
    return isinstance(model, BaselineConfig | Ridge2Config | FirthConfig)


def _fit(member: Member) -> FitResult:
    training_set = member.training_set
    fitted = fit_estimator(member.model, training_set, member.seed)
    risks = fitted.predict(training_set.inputs)
    loss = float(-np.log(np.maximum(np.where(training_set.labels == 1, risks, 1 - risks), _MIN_PROBABILITY)).mean())
    accuracy = float(((risks > 0.5) == (training_set.labels == 1)).mean())
    history = pd.DataFrame({"epoch": [0], "train/loss": [loss], "train/accuracy": [accuracy]})
    return FitResult(fitted.content(), 1, 0, loss, "fitted", history)
