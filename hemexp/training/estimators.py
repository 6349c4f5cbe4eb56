"""Fit a member whose model is an estimator."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from hemexp.config import BaselineConfig, FirthConfig, LogisticConfig, ModelConfig, Ridge2Config, TrainerConfig
from hemexp.models.fitted_estimator import fit_estimator
from hemexp.training.member import FitResult, Member

_MIN_PROBABILITY = 1e-15  # keeps the logarithm finite


def is_quick(model: ModelConfig) -> bool:
    """Return whether a fit takes milliseconds, less than the start of a process."""
    if isinstance(model, LogisticConfig):
        return model.C is not None  # else it is chosen by cross-validation
    return isinstance(model, BaselineConfig | Ridge2Config | FirthConfig)


def fit_estimators(
    members: Sequence[Member], trainer: TrainerConfig, *, report: Callable[[int, int, float], object], **_: object
) -> list[FitResult]:
    """Fit estimators one by one. The trainer and the other options are for networks."""
    results = []
    for member in members:
        results.append(fit_alone(member))
        report(1, 0, results[-1].best_loss)
    return results


def fit_alone(member: Member) -> FitResult:
    """Fit a member's estimator to its training patients. Validation patients are not used.

    Raises:
        UserError: a package is missing, or the model cannot be fitted to its patients.
    """
    training_set = member.training_set
    fitted = fit_estimator(member.model, training_set, member.seed)
    risks = fitted.predict(training_set.inputs)
    loss = float(-np.log(np.maximum(np.where(training_set.labels == 1, risks, 1 - risks), _MIN_PROBABILITY)).mean())
    accuracy = float(((risks > 0.5) == (training_set.labels == 1)).mean())
    history = pd.DataFrame({"epoch": [0], "train/loss": [loss], "train/accuracy": [accuracy]})
    return FitResult(fitted.content(), 1, 0, loss, "fitted", history)
