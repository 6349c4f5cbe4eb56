"""A class or function of another package, named in the configuration."""

from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from typing import Any, Optional

from hemexp.config.plugins import locate, trust
from hemexp.config.section import Section, key
from hemexp.errors import UserError


@dataclass
class TargetConfig(Section):
    """A dotted name and arguments. `call` adds the arguments that hemexp gives."""

    target: Optional[str] = key(None, "dotted name of a class or function, such as my_package.MyNet")
    args: dict[str, Any] = key({}, "its arguments by name, such as {hidden: 32}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        trust(str(self.target))  # a process of the command that the user has started

    def list_code_names(self) -> list[str]:
        """Return `target`."""
        return [*super().list_code_names(), str(self.target)]

    @property
    def function(self) -> Any:
        """What `target` names."""
        return locate(str(self.target), f"{self.PREFIX}.target")

    def call(self, *first: Any, **more: Any) -> Any:
        """Call the target."""
        return self.function(*first, **{**more, **self.args})

    def check_call(self, *first: str, **more: Any) -> None:
        """Refuse a target that cannot be called.

        Args:
            first: what hemexp gives before the arguments by name, in words.
            more: what it gives by name.

        Raises:
            UserError: there is no such target, or it does not take these arguments.
        """
        if self.target is None:
            raise UserError(f"{self.PREFIX}.target is not set: give {self.PREFIX}.target=my_package.NAME")
        trust(self.target)
        with suppress(ValueError):  # a function that does not tell its arguments
            try:
                signature(self.function).bind(*first, **{**more, **self.args})
            except TypeError as error:
                key, gets = f"{self.PREFIX}.args", " and ".join([*first, *more, f"{self.PREFIX}.args"])
                problem = f"{self.target} cannot be called with them ({error})"
                raise UserError(f"{key}={self.args}: {problem}; it gets {gets}") from None
