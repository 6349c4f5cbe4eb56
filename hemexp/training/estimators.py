"""Fit the members whose models are estimators, in parallel if the fits take long."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.config import BaselineConfig, FirthConfig, LogisticConfig, ModelConfig, Ridge2Config
from hemexp.errors import SystemFailure
from hemexp.hardware import CORES, max_workers
from hemexp.models.fitted_estimator import fit_estimator
from hemexp.runner.events import ItemResult
from hemexp.runner.local import Device, LocalRunner
from hemexp.training.member import FitResult, Member

_MIN_PARALLEL = 4  # members; fewer are fitted in this process
_PARTS = 8  # parts for each process, so that all processes end at about the same time
_MIN_PROBABILITY = 1e-15  # keeps the logarithm finite


def fit_estimators(members: Sequence[Member], num_workers: int | None) -> Iterator[FitResult]:
    """Fit every member's estimator to its training patients, one by one. Validation patients are not used.

    Args:
        members: with estimators as models.
        num_workers: processes; by default one for each CPU core.

    Raises:
        UserError: a package is missing, or a model cannot be fitted to its patients.
        SystemFailure: a process was killed.
    """
    num_workers = num_workers or max_workers(1)
    slow = [number for number, member in enumerate(members) if not _is_quick(member.model)]
    if len(slow) < _MIN_PARALLEL or num_workers == 1:
        return map(_fit, members)
    return _fit_in_processes(members, slow, num_workers)


@dataclass(frozen=True, eq=False)
class _MembersItem:
    """Consecutive slow members for another process."""

    order: int
    members: list[Member]


def run_members(item: _MembersItem, report: object) -> list[FitResult]:
    """Fit the members of an item in the process that was started for it; `report` is not used."""
    return [_fit(member) for member in item.members]


def _fit_in_processes(members: Sequence[Member], slow: list[int], num_workers: int) -> Iterator[FitResult]:
    """Yield the results in the order of the members; each process fits a part of the slow ones."""
    num_parts = min(len(slow), _PARTS * num_workers)
    parts = [slow[len(slow) * part // num_parts : len(slow) * (part + 1) // num_parts] for part in range(num_parts)]
    runner = LocalRunner(
        [Device(f"process {number}", {CORES: "1"}) for number in range(num_workers)],
        "hemexp.training.estimators:run_members",
    )
    fitted: dict[int, FitResult] = {}
    with closing(runner):
        runner.submit([_MembersItem(part, [members[number] for number in parts[part]]) for part in range(num_parts)])
        for number, member in enumerate(members):
            if _is_quick(member.model):
                yield _fit(member)
                continue
            while number not in fitted:
                for event in runner.wait(1.0):
                    if isinstance(event, ItemResult):
                        fitted |= zip(parts[event.item.order], _get_results(event), strict=True)
            yield fitted.pop(number)


def _get_results(event: ItemResult) -> list[FitResult]:
    if event.value is None:
        raise SystemFailure(f"models were not fitted: {event.message}; use fewer num_workers")
    if isinstance(event.value, BaseException):
        raise event.value
    results: list[FitResult] = event.value
    return results


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
