"""What a search may choose: the swept keys of the command line, each with its values or its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer

from hemexp.errors import UserError

OUTER = "split.fold"  # swept, it is the outer loop of a nested cross-validation
_FIXED = {
    "where": "changes no score",
    "search": "changes no score",
    "logger": "changes no score",
    "tags": "changes no score",
    "output_dir": "changes no score",
    "trainer.accelerator": "is one for all jobs",
    "trainer.devices": "is one for all jobs",
    "evaluation": "is how all jobs are measured",
    "data": "decides which patients a score is of: scores of others cannot be compared",
    "label": "decides which outcome a score is of: scores of others cannot be compared",
    "split": "decides which patients a score is of: scores of others cannot be compared",
    "seed": "decides the folds: the best of many seeds is luck",
    "experiment": "may set anything, data, label and split too",
    "debug": "decides how jobs are measured",
}
_ALLOWED = (OUTER, "split.val_fraction")

Value = str | int | float


@dataclass(frozen=True)
class Choices:
    """Values without an order, as they stand on the command line."""

    values: tuple[str, ...]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def draw(self, rng: np.random.Generator) -> Value:
        """Return one of them, each with the same chance."""
        return self.values[int(rng.integers(len(self.values)))]

    def __str__(self) -> str:
        return ",".join(self.values)


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`; whole ones where both are, then both ends are among them."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are in it."""
        return isinstance(self.low, int)

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1 if self.whole else math.inf

    def draw(self, rng: np.random.Generator) -> Value:
        """Return one number, all with the same chance, or on a log scale."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        drawn = math.exp(rng.uniform(math.log(low), math.log(high))) if self.log else rng.uniform(low, high)
        return min(max(round(drawn), int(self.low)), int(self.high)) if self.whole else float(drawn)

    def __str__(self) -> str:
        inner = f"{'int(' if self.whole else ''}interval({self.low:g},{self.high:g}){')' if self.whole else ''}"
        return f"tag(log,{inner})" if self.log else inner


@dataclass(frozen=True)
class Space:
    """All swept keys.

    Attributes:
        settings: by key, in the order of their names, so that the order of the command line decides nothing.
        fixed: the overrides that all jobs share.
        folds: those of the outer loop; empty where there is none.
    """

    settings: Mapping[str, Choices | Interval]
    fixed: tuple[str, ...]
    folds: tuple[int, ...]

    @cached_property
    def size(self) -> float:
        """How many different settings there are."""
        return math.prod(each.size for each in self.settings.values())

    def draw(self, rng: np.random.Generator) -> dict[str, Value]:
        """Draw every key by itself."""
        return {key: each.draw(rng) for key, each in self.settings.items()}

    def overrides(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return settings as overrides; a number with six digits, unless that leads out of its interval."""
        return tuple(f"{key}={self._text(key, values[key])}" for key in self.settings)

    def _text(self, key: str, value: Value) -> str:
        setting = self.settings[key]
        if isinstance(setting, Choices) or isinstance(value, str | int):
            return str(value)
        short = f"{value:.6g}"
        return short if setting.low <= float(short) <= setting.high else repr(value)

    def corners(self) -> list[dict[str, Value]]:
        """Return settings that hold every value of every choice and both ends of every interval at least once."""
        ends = {
            key: each.values if isinstance(each, Choices) else (each.low, each.high)
            for key, each in self.settings.items()
        }
        first = {key: values[0] for key, values in ends.items()}
        return [first, *(first | {key: value} for key, values in ends.items() for value in values[1:])]


def parse_space(arguments: Sequence[str], params: Mapping[str, Any]) -> Space:
    """Read the swept keys.

    Args:
        arguments: overrides, from the command line.
        params: ``hydra.sweeper.params`` of an experiment; the command line wins.

    Raises:
        UserError: there is nothing to choose, or a key cannot be searched.
    """
    typed = OverridesParser.create().parse_overrides(list(arguments))
    given = {override.get_key_element().lstrip("+~") for override in typed}
    words = {None: "null", True: "true", False: "false"}
    lines = [
        f"{key}={words.get(value, value) if isinstance(value, bool | None) else value}" for key, value in params.items()
    ]
    extra = [each for each in OverridesParser.create().parse_overrides(lines) if each.key_or_group not in given]
    overrides = [*extra, *typed]
    swept = {each.get_key_element(): each for each in overrides if each.is_sweep_override()}
    outer = swept.pop(OUTER, None)
    if not swept:
        raise UserError("a search needs a key to choose, such as model.kernel_size=3,5,7 or optimizer.lr=interval(0,1)")
    for override in swept.values():
        _check_key(override)
    settings = {key: _setting(override) for key, override in sorted(swept.items())}
    constants = [key for key, each in settings.items() if each.size < 2]
    if constants:
        line = swept[constants[0]].input_line
        raise UserError(f"{line}: a search chooses among two values at least; without choice, fix it")
    fixed = tuple(str(each.input_line) for each in overrides if not each.is_sweep_override())
    return Space(settings, fixed, _folds(outer) if outer else ())


def _check_key(override: Override) -> None:
    key = override.key_or_group
    for name, why in _FIXED.items():
        if key not in _ALLOWED and (key == name or key.startswith((f"{name}.", f"{name}/"))):
            raise UserError(f"{override.input_line}: {key} cannot be searched; it {why}")


def _setting(override: Override) -> Choices | Interval:
    value, line = override.value(), override.input_line
    tags: set[str] = getattr(value, "tags", set())
    if not isinstance(value, IntervalSweep):
        if tags:
            raise UserError(f"{line}: only an interval can be tagged, as in tag(log, interval(1e-4,1e-2))")
        return Choices(_values(override))
    if tags - {"log"}:
        raise UserError(f"{line}: unknown tag {', '.join(sorted(tags - {'log'}))}; only log is known")
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"{line}: an interval goes from the lower to the higher number")
    if tags and low <= 0:
        raise UserError(f"{line}: an interval on a log scale begins above 0")
    return Interval(low, high, bool(tags))


def _values(override: Override) -> tuple[str, ...]:
    """Return the values of a choice or a range as they would stand on the command line, each once."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        values = [Transformer.str(each) for each in value.list]
    elif isinstance(value, RangeSweep):
        values = [Transformer.str(each) for each in value.range()]
    else:
        raise UserError(f"{override.input_line}: a search knows lists, range() and interval()")
    return tuple(dict.fromkeys(map(str, values)))


def _folds(override: Override) -> tuple[int, ...]:
    if override.is_interval_sweep() or not all(each.isdecimal() for each in _values(override)):
        raise UserError(f"{override.input_line}: the folds of the outer loop are numbers, such as {OUTER}=0,1,2,3,4")
    return tuple(map(int, _values(override)))
