"""The space of a search: the swept keys, each with its values or its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from hemexp.errors import UserError
from hemexp.sweep.plan.overrides import list_values, read_overrides

OUTER_FOLD = "split.fold"  # a swept split.fold is the outer loop of a nested cross-validation
_NOT_SEARCHED = {  # keys by the reason
    "it does not change a score": ("where", "search", "logger", "tags", "output_dir"),
    "it has one value for all jobs": ("trainer.accelerator", "trainer.devices"),
    "all jobs must be evaluated in the same way": ("evaluation", "debug"),
    "it decides which patients are scored, and scores of different patients cannot be compared": ("data", "split"),
    "it decides which outcome is scored, and scores of different outcomes cannot be compared": ("label",),
    "it decides the folds: the best of many seeds is luck": ("seed",),
    "it may set any key, including data, label and split": ("experiment",),
}
_ALLOWED = (OUTER_FOLD, "split.val_fraction")

Value = str | int | float


@dataclass(frozen=True)
class Choices:
    """Values without an order, as written on the command line."""

    values: tuple[str, ...]

    @property
    def size(self) -> float:
        """The number of values."""
        return len(self.values)

    def draw(self, rng: np.random.Generator) -> Value:
        """Return one value; all have the same probability."""
        return self.values[int(rng.integers(len(self.values)))]

    def __str__(self) -> str:
        return ",".join(self.values)


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`: integers where both bounds are integers, with both bounds included."""

    low: float
    high: float
    log: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether the interval holds integers only."""
        return isinstance(self.low, int)

    @property
    def size(self) -> float:
        """The number of values."""
        return self.high - self.low + 1 if self.is_integer else math.inf

    def draw(self, rng: np.random.Generator) -> Value:
        """Return one number, uniform on the linear scale or on the log scale."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.is_integer else (self.low, self.high)
        drawn = math.exp(rng.uniform(math.log(low), math.log(high))) if self.log else rng.uniform(low, high)
        return min(max(round(drawn), int(self.low)), int(self.high)) if self.is_integer else float(drawn)

    def __str__(self) -> str:
        bounds = f"interval({_exact(self.low)},{_exact(self.high)})"
        text = f"int({bounds})" if self.is_integer else bounds
        return f"tag(log,{text})" if self.log else text


def _exact(number: float) -> str:
    """Return a number in its shortest form that reads back to the same number."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


@dataclass(frozen=True)
class Space:
    """All swept keys.

    Attributes:
        settings: by key, sorted by name, so that the order on the command line has no effect.
        fixed: the overrides that all jobs share.
        folds: the folds of the outer loop; empty where there is no outer loop.
    """

    settings: Mapping[str, Choices | Interval]
    fixed: tuple[str, ...]
    folds: tuple[int, ...]

    @cached_property
    def size(self) -> float:
        """The number of different settings."""
        return math.prod(setting.size for setting in self.settings.values())

    def draw(self, rng: np.random.Generator) -> dict[str, Value]:
        """Draw a value for every key independently."""
        return {key: setting.draw(rng) for key, setting in self.settings.items()}

    def overrides(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return settings as overrides; a number has six digits, or all digits where six leave the interval."""
        return tuple(f"{key}={self._format_value(key, values[key])}" for key in self.settings)

    def _format_value(self, key: str, value: Value) -> str:
        setting = self.settings[key]
        if isinstance(setting, Choices) or isinstance(value, str | int):
            return str(value)
        short = f"{value:.6g}"
        return short if setting.low <= float(short) <= setting.high else repr(value)

    def corners(self) -> list[dict[str, Value]]:
        """Return settings that contain every value of every choice and both bounds of every interval at least once."""
        extremes = {
            key: setting.values if isinstance(setting, Choices) else (setting.low, setting.high)
            for key, setting in self.settings.items()
        }
        first = {key: values[0] for key, values in extremes.items()}
        return [first, *(first | {key: value} for key, values in extremes.items() for value in values[1:])]


def parse_space(arguments: Sequence[str], params: Mapping[str, Any]) -> Space:
    """Read the swept keys.

    Args:
        arguments: overrides from the command line.
        params: ``hydra.sweeper.params`` of an experiment; the command line takes precedence.

    Raises:
        UserError: no key is swept, or a key cannot be searched.
    """
    typed, added = read_overrides(arguments, params)
    overrides = [*added, *typed]
    swept = {override.get_key_element(): override for override in overrides if override.is_sweep_override()}
    outer = swept.pop(OUTER_FOLD, None)
    if not swept:
        raise UserError("a search needs a key to choose; sweep one, such as optimizer.lr=interval(0,1)")
    for override in swept.values():
        _check_key(override)
    settings = {key: _parse_setting(override) for key, override in sorted(swept.items())}
    single = [key for key, setting in settings.items() if setting.size < 2]
    if single:
        line = swept[single[0]].input_line
        raise UserError(f"{line}: holds one value; a search chooses among two or more values; give KEY=VALUE instead")
    fixed = tuple(str(override.input_line) for override in overrides if not override.is_sweep_override())
    return Space(settings, fixed, _parse_folds(outer) if outer else ())


def _check_key(override: Override) -> None:
    key = override.key_or_group
    for reason, names in _NOT_SEARCHED.items():
        if key not in _ALLOWED and any(key == name or key.startswith((f"{name}.", f"{name}/")) for name in names):
            raise UserError(f"{override.input_line}: {key} cannot be searched: {reason}; give one value")


def _parse_setting(override: Override) -> Choices | Interval:
    value, line = override.value(), override.input_line
    tags: set[str] = getattr(value, "tags", set())
    if not isinstance(value, IntervalSweep):
        if tags:
            raise UserError(f"{line}: a tag is allowed for an interval only, as in tag(log, interval(1e-4,1e-2))")
        if isinstance(value, ChoiceSweep | RangeSweep):
            value.shuffle = False  # a search draws at random, and the same seed must draw the same settings
        return Choices(tuple(dict.fromkeys(list_values(override))))
    if tags - {"log"}:
        raise UserError(f"{line}: unknown tag {', '.join(sorted(tags - {'log'}))}; the only tag is log")
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"{line}: the bounds are in the wrong order; give the lower number first, then the higher one")
    if tags and low <= 0:
        raise UserError(f"{line}: the lower bound is {low:g}; an interval on the log scale must begin above 0")
    return Interval(low, high, bool(tags))


def _parse_folds(override: Override) -> tuple[int, ...]:
    if override.is_interval_sweep() or not all(value.isdecimal() for value in list_values(override)):
        raise UserError(f"{override.input_line}: outer folds must be numbers, such as {OUTER_FOLD}=0,1,2,3,4")
    return tuple(dict.fromkeys(map(int, list_values(override))))
