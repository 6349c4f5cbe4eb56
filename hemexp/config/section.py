"""A configuration key and the section that checks its keys.

Each key is written once, as a field of its section: type, default, help, unit and legal values.
"""

import math
import operator
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from typing import Any, ClassVar, TypeVar, get_args

from hemexp.errors import UserError

_COMPARE = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le, "below": operator.lt}
REQUIRED = MISSING  # the default of a key that has none
SMALLEST, LARGEST = 1e-9, 1e9  # limits of the size of a number other than 0, where a key has no narrower ones


@dataclass(frozen=True)
class Key:
    """Help, unit and legal values of a key.

    Attributes:
        help: a short text for ``--help``.
        at_least: the smallest legal number.
        at_most: the largest legal number.
        above: a number that is too small, just below the legal ones.
        below: a number that is too large, just above the legal ones.
        choices: the legal values, where they are few.
        unit: of the number, such as mL.
        hashed: False for a key that does not change the numbers of a run; see `hemexp.config.hashing`.
        is_file: the content of a file changes the numbers of a run, not its name.
    """

    help: str
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    unit: str = ""
    hashed: bool = True
    is_file: bool = False

    @property
    def range(self) -> str:
        """The legal values in words, such as ``above 0``; empty where all values of the type are legal."""
        if self.choices:
            return join_or(self.choices)
        if self.at_least is not None and self.at_most is not None:
            return f"{_text(self.at_least)} to {_text(self.at_most)}"
        return " and ".join(f"{name.replace('_', ' ')} {_text(limit)}" for name, limit in self._limits())

    def allows(self, value: Any) -> bool:
        """Return whether a value is legal."""
        in_range = all(_COMPARE[name](value, limit) for name, limit in self._limits())
        return in_range and (not self.choices or value in self.choices)

    def is_usual(self, value: Any) -> bool:
        """Return whether a number has a usual size; the limits of the key itself take precedence."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
            return True
        upper = self.at_most if self.at_most is not None else self.below
        return abs(value) >= SMALLEST and abs(value) <= (LARGEST if upper is None else max(upper, LARGEST))

    def _limits(self) -> Iterator[tuple[str, float]]:
        return ((name, getattr(self, name)) for name in _COMPARE if getattr(self, name) is not None)


def key(default: Any, help: str, **rules: Any) -> Any:
    """Return the field of a configuration key.

    Args:
        default: a value, a section's class, or `REQUIRED`.
        help: a short text for ``--help``.
        rules: the other attributes of `Key`.
    """
    metadata = {"key": Key(help, **rules)}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    if isinstance(default, list | dict):
        return field(default_factory=partial(deepcopy, default), metadata=metadata)
    return field(default=default, metadata=metadata)


def get_key(item: Field[Any]) -> Key:
    """Return the key that a section's field holds."""
    found: Key = item.metadata["key"]
    return found


def is_optional(item: Field[Any]) -> bool:
    """Return whether a field may be null."""
    return type(None) in get_args(item.type)


@dataclass
class Section:
    """A group of keys. A section checks the legal values of its keys when it is built.

    Attributes:
        PREFIX: what its keys begin with, such as ``optimizer``; empty at the top level.
        NAMES: legal values of its key ``name``, which the command line sets as ``PREFIX=NAME``.
        TAKES_OWN_NAMES: a YAML file of the user may give other names, which are part of the name of a directory.
    """

    PREFIX: ClassVar[str] = ""
    NAMES: ClassVar[tuple[str, ...]] = ()
    TAKES_OWN_NAMES: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for item in fields(self):
            rules, value = get_key(item), getattr(self, item.name)
            if item.name == "name" and self.TAKES_OWN_NAMES:
                rule = "must not hold / or \\; it is part of the name of a directory"
                self.require(not {*"/\\"} & {*str(value)}, "name", rule)
            elif item.name == "name" and self.NAMES:
                rule = f"must be {join_or(self.NAMES)}; set it by {self.PREFIX}=NAME"
                self.require(value in self.NAMES, "name", rule)
            values = list(_leaves(value))
            texts = [] if isinstance(value, dict) else [leaf for leaf in values if isinstance(leaf, str)]
            rule = f"must not be empty; give {self._dotted(item.name)}=VALUE, or leave the key out"
            self.require(all(text.strip() for text in texts), item.name, rule)
            finite = all(math.isfinite(leaf) for leaf in values if isinstance(leaf, float))
            self.require(finite, item.name, "must be a finite number")
            nested = isinstance(value, list) and any(isinstance(each, list | dict) for each in value)
            self.require(not nested, item.name, "each must be a single value, not a list")
            every = "each must be" if isinstance(value, list) else "must be"
            unit = f" {rules.unit}" if rules.unit else ""
            null = " or null" if is_optional(item) else ""
            self.require(all(map(rules.allows, values)), item.name, f"{every} {rules.range}{unit}{null}")
            if not isinstance(value, dict):
                rule = f"{every} 0, or {SMALLEST:g} to {LARGEST:g} in size; any other number is a mistake"
                self.require(all(map(rules.is_usual, values)), item.name, rule)

    def require(self, holds: bool, name: str, rule: str) -> None:
        """Refuse the value of a key that breaks a rule.

        Raises:
            UserError: names the key, its value and the rule.
        """
        if not holds:
            raise UserError(f"{self._dotted(name)}={getattr(self, name)}: {rule}")

    def list_code_names(self) -> list[str]:
        """Return the dotted names of the user's classes, functions and modules that the section itself needs."""
        return []

    def list_names(self, name: str) -> list[str]:
        """Return the value of a key as a list of texts; one text is a list of one.

        Raises:
            UserError: it is something else.
        """
        value = getattr(self, name)
        names = [value] if isinstance(value, str) else value
        is_list = isinstance(names, list) and all(isinstance(each, str) for each in names)
        self.require(is_list, name, "must be a name, or a list of names such as [a,b]")
        return list(names)

    def _dotted(self, name: str) -> str:
        return f"{self.PREFIX}.{name}".lstrip(".")


S = TypeVar("S", bound=Section)


def list_sections(section: type[Section] = Section) -> list[type[Section]]:
    """Return all sections below a section."""
    return [found for child in section.__subclasses__() for found in (child, *list_sections(child))]


def build_section(base: type[S], values: Mapping[str, Any]) -> S:
    """Return the section of a group whose ``NAMES`` hold a name, with these values, such as those in a file.

    Raises:
        UserError: there is no such section, or a value breaks a rule.
    """
    sections: list[type[Section]] = [base, *list_sections(base)]
    found = next((each for each in sections if values.get("name") in each.__dict__.get("NAMES", ())), None)
    if found is None or not set(values) <= {item.name for item in fields(found)}:
        raise UserError(f"{base.PREFIX}={values.get('name')}: cannot be read: it is of another version of hemexp")
    return found(**values)  # type: ignore[return-value] # `base`, or below it


def join_or(values: tuple[Any, ...]) -> str:
    """Return values as a list in words: ``a, b or c``."""
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last


def _leaves(value: Any) -> Iterator[Any]:
    """Return the single values in a value; null has none."""
    if isinstance(value, list | dict):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _leaves(below)
    elif value is not None:
        yield value


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
