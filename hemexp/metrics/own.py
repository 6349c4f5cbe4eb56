"""Metrics that a user adds: own functions, classes of torchmetrics, and registered names."""

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from hemexp.errors import Interrupted, UserError
from hemexp.metrics.table import METRICS, NUM_RESAMPLES, STANDARD, Metric
from hemexp.types import Array

T = TypeVar("T")
Call = Callable[[Array, Array], Any]
TORCHMETRICS = "torchmetrics."
_COLUMNS = ("model", "repeat", "fold", "seed", "num_train", "num_test", "events_test")  # of cv_scores.csv
_RULE = "a function f(labels, probabilities) that returns one number, or a class of torchmetrics"
_LABELS, _RISKS = np.tile([0, 1, 0], 20), (np.arange(60) * 7 % 60 + 0.5) / 60  # of made-up patients
# equal risks as of a baseline; one outcome as in a small sample
_TRIALS = ((_LABELS, _RISKS), (_LABELS, np.full(60, 0.3)), (0 * _LABELS, _RISKS), (0 * _LABELS + 1, _RISKS))

_registered: dict[str, tuple[Any, Metric]] = {}  # what was decorated, by the name of its metric


def register_metric(
    name: str,
    *,
    higher_is_better: bool | None = None,
    text: str = "",
    limits: tuple[float, float] | None = None,
    needs_both_outcomes: bool = True,
    num_resamples: int = NUM_RESAMPLES,
) -> Callable[[T], T]:
    """Register a metric, as a decorator; ``metrics=[NAME]`` then adds it to a run.

    The function gets the labels (1 or 0) and the predicted probabilities of some patients, two arrays of equal length,
    and returns one number. NaN means that the score is not defined. A class of torchmetrics, or an object of one, can
    be registered in the same way.

    Args:
        name: what follows ``test/`` and ``cv/``.
        higher_is_better: the direction. Without it the metric is shown, but cannot rank a sweep.
        text: name in the console and on the pages.
        limits: the lowest and the highest possible value, at which intervals end.
        needs_both_outcomes: the function is not called for patients who all have one outcome.
        num_resamples: bootstrap samples of its interval; fewer for a slow function. The text then states the number.

    Raises:
        UserError: the name has other characters than letters, digits, ``_`` and ``-``, or it is taken.

    Example:
        >>> import hemexp
        >>> @hemexp.register_metric("sensitivity", higher_is_better=True, text="sensitivity", limits=(0, 1))
        ... def sensitivity(labels, probabilities):
        ...     return (probabilities[labels == 1] >= 0.5).mean()
    """
    if not isinstance(name, str):
        raise UserError("register_metric: write @hemexp.register_metric(NAME), with a name in quotation marks")
    if not isinstance(num_resamples, int) or num_resamples < 100:
        raise UserError(f"metric {name}: num_resamples={num_resamples}: must be at least 100")

    if limits is not None and not (len(limits) == 2 and limits[0] < limits[1]):
        raise UserError(
            f"metric {name}: limits={limits}: must be the lowest and the highest possible value, (LOW, HIGH)"
        )

    def register(target: T) -> T:
        earlier = _registered.get(name, (None, None))[0]
        if earlier is not None and _get_origin(earlier) != _get_origin(target):
            raise UserError(f"metric {name}: there is another metric of this name; choose another name")
        own: dict[str, Any] = {"higher_is_better": higher_is_better, "text": text, "limits": limits}
        given = {key: value for key, value in own.items() if value not in (None, "")}
        metric = _build(target, name, name, needs_both_outcomes, num_resamples, **given)
        _registered[name] = (target, metric)
        return target

    return register


def get_metrics(sources: Sequence[str]) -> tuple[Metric, ...]:
    """Return the standard metrics and those that a user added.

    Args:
        sources: registered names, or dotted names such as ``torchmetrics.classification.BinaryF1Score``.

    Raises:
        UserError: a metric cannot be found or used, or two have one name.
    """
    own = [load_metric(source) for source in sources]
    for number, metric in enumerate(own):
        same = [each.source for each in own[:number] if each.name == metric.name]
        if same:
            names = f"{same[0]} and {metric.source}" if same[0] != metric.source else f"{metric.source} twice"
            raise UserError(f"metrics: {names}: two metrics with the name {metric.name}; remove one, or rename it")
    return (*STANDARD, *own)


def is_registered(name: str) -> bool:
    """Return whether a metric was registered under this name."""
    return name in _registered


def get_source(name: str) -> str:
    """Return the module that defines a registered metric; a dotted name is returned as it is."""
    return str(getattr(_registered[name][0], "__module__", "")) if name in _registered else name


@cache
def load_metric(source: str) -> Metric:
    """Find a metric by a registered or a dotted name, and try it on made-up patients.

    Raises:
        UserError: it cannot be found or used; names the metric, the reason and the rule.
    """
    if source in METRICS:
        raise _error(source, "is a standard metric, which every run has; remove it")
    if source in _registered:
        metric = _registered[source][1]
    elif "." not in source:
        names = f": {', '.join(_registered)}" if _registered else ""
        rule = f'give MODULE.{source}, or plugins=[MODULE] with a module that has @hemexp.register_metric("{source}")'
        raise _error(source, f"there is no registered metric of this name{names}; {rule}")
    else:
        target = _find(source)
        decorated = [metric for known, metric in _registered.values() if known is target]
        metric = decorated[0] if decorated else _build(target, source.rpartition(".")[2], source)
    for labels, risks in _TRIALS:
        metric.compute(labels, risks)
    return replace(metric, source=source)


def _find(source: str) -> Any:
    """Import the module that a dotted name begins with, and return what the name stands for."""
    module, _, name = source.rpartition(".")
    try:
        found = import_module(module)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # of an import in the module
            raise _error(source, f"{module} cannot be imported: {error}") from None
        hint = "install it, or start the command in its folder"
        raise _error(source, f"there is no module {error.name}; rule: MODULE.NAME; {hint}") from None
    except (Exception, SystemExit) as error:
        raise _error(source, f"{module} cannot be imported: {type(error).__name__}: {error}") from None
    if not hasattr(found, name):
        raise _error(source, f"the module {module} has no {name}; rule: {_RULE}")
    return getattr(found, name)


def _build(
    target: Any,
    name: str,
    source: str,
    needs_both_outcomes: bool = True,
    num_resamples: int = NUM_RESAMPLES,
    **given: Any,
) -> Metric:
    """Return the row of the table; `given` are direction, text and limits, where the user gave them."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII):
        raise _error(source, "the name of a metric has letters, digits, _ and - only")
    if name in (*METRICS, *_COLUMNS):
        raise _error(source, f"the name {name} is taken by hemexp; choose another name")
    known: dict[str, Any] = {"higher_is_better": None, "text": name, "limits": (-math.inf, math.inf)}
    if hasattr(target, "update") and hasattr(target, "compute"):
        measure = _create(target, source)
        # its plot_lower_bound is not its range: it is 0 for Matthews' correlation, which begins at -1
        known["higher_is_better"] = getattr(measure, "higher_is_better", None)
        call = _use_torchmetrics(measure)
    else:
        call = target
        if isinstance(target, type) or not callable(target) or source.startswith(TORCHMETRICS):
            raise _error(source, f"is not a metric; rule: {_RULE}")
        try:
            inspect.signature(target).bind(_LABELS, _RISKS)
        except ValueError:  # a builtin function without a signature
            pass
        except TypeError as error:
            raise _error(source, f"does not take two arguments ({error}); rule: {_RULE}") from None
    known |= given
    if num_resamples != NUM_RESAMPLES:
        known["text"] += f" (interval from {num_resamples} resamples)"
    return Metric(
        name=name,
        function=_by_sample(call, source),
        needs_both_outcomes=needs_both_outcomes,
        num_resamples=num_resamples,
        digits=3,
        source=source,
        **known,
    )


def _create(target: Any, source: str) -> Any:
    """Return an object of a class of torchmetrics; an object is returned as it is."""
    if not isinstance(target, type):
        return target
    try:
        return target()
    except (Exception, SystemExit) as error:
        hint = "in a module, write NAME = CLASS(arguments) and give MODULE.NAME"
        raise _error(source, f"cannot be built without arguments ({error}); {hint}") from None


def _use_torchmetrics(measure: Any) -> Call:
    """Return the function that computes a metric of torchmetrics, on the CPU."""
    import torch

    def compute(labels: Array, probabilities: Array) -> Any:
        measure.reset()
        measure.update(torch.from_numpy(probabilities), torch.from_numpy(labels))
        return measure.compute()

    return compute


def _by_sample(call: Call, source: str) -> Callable[[Array, Array, Array], Array]:
    """Return the function that computes a user's metric for each row of weights, from copies of the data."""

    def compute(y: Array, p: Array, weights: Array) -> Array:
        labels, positions = y.astype(np.int64), np.arange(len(y))
        rows = (np.repeat(positions, counts.astype(int)) for counts in weights)
        return np.array([_call(call, source, labels[row], p[row]) for row in rows], dtype=float)

    return compute


def _call(call: Call, source: str, labels: Array, probabilities: Array) -> float:
    """Return the value of a metric; NaN where it is not finite.

    Raises:
        UserError: it raises an error, or returns something else than a number.
    """
    patients = f"{len(labels)} patients, {labels.sum()} of them with the outcome"
    try:
        value = call(labels, probabilities)
    except (UserError, Interrupted):
        raise
    except (Exception, SystemExit) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        hint = "return float('nan') where it is not defined"
        raise _error(source, f"raised {problem}; it was called with {patients}; {hint}") from error
    number = _to_number(value)
    if number is None:
        kind = "a number above 1e308" if isinstance(value, int) else f"{type(value).__name__}, not a number"
        raise _error(source, f"returned {kind}; rule: {_RULE}")
    return number if math.isfinite(number) else math.nan


def _to_number(value: Any) -> float | None:
    try:
        return None if isinstance(value, str | bytes) or np.ndim(value) else float(value)
    except Exception:  # of any class of the user's
        return None


def _get_origin(target: Any) -> tuple[str, str]:
    """Return module and name of what was decorated, which stay the same when a module is imported again."""
    return getattr(target, "__module__", ""), getattr(target, "__qualname__", repr(target))


def _error(source: str, text: str) -> UserError:
    return UserError(f"metrics={source}: {text}")
