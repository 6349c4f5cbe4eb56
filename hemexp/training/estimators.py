"""Fitting what is no network of ours: one estimator a member, over all cores where it takes long."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hemexp.config import BaselineConfig, FirthConfig, Ridge2Config
from hemexp.hardware import max_workers
from hemexp.models.fitted_estimator import fit_estimator
from hemexp.training.loop import FitResult, Report
from hemexp.training.member import Member

_QUICK = (BaselineConfig, Ridge2Config, FirthConfig)  # milliseconds: not worth a process
_FEW = 4  # members, likewise
_TINY = 1e-15  # the least probability that is given a logarithm


def fit_estimators(members: Sequence[Member], num_workers: int | None, report: Report) -> list[FitResult]:
    """Fit every member's estimator on its training part; held-out patients take no part.

    Args:
        members: whose models are estimators.
        num_workers: processes; by default as many as CPU cores, and GiB of memory.
        report: is told of every fit.

    Raises:
        UserError: a model's package is missing, or it cannot be fitted to these patients.
    """
    results = []
    for result in _fitted(members, num_workers or max_workers(1)):
        report(1, 0, result.best_loss)
        results.append(result)
    return results


def _fitted(members: Sequence[Member], num_workers: int) -> Iterator[FitResult]:
    slow = [member for member in members if not isinstance(member.model, _QUICK)]
    if len(slow) < _FEW or num_workers == 1:
        return map(_fit, members)
    from joblib import Parallel, delayed

    apart = iter(Parallel(n_jobs=num_workers, return_as="generator")(delayed(_fit)(member) for member in slow))
    return (_fit(member) if isinstance(member.model, _QUICK) else next(apart) for member in members)


def _fit(member: Member) -> FitResult:
    training_set = member.training_set
    fitted = fit_estimator(member.model, training_set, member.seed)
    risks = fitted.predict(training_set.inputs)
    loss = float(-np.log(np.maximum(np.where(training_set.labels == 1, risks, 1 - risks), _TINY)).mean())
    accuracy = float(((risks > 0.5) == (training_set.labels == 1)).mean())
    history = pd.DataFrame({"epoch": [0], "train/loss": [loss], "train/accuracy": [accuracy]})
    return FitResult(fitted.content(), 1, 0, loss, "fitted", history)
