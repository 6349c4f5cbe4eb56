"""The debug presets: runs that test the program and are not results."""

from dataclasses import dataclass
from typing import ClassVar

from hemexp.config.section import Section, key


@dataclass
class DebugConfig(Section):
    """A debug preset."""

    PREFIX: ClassVar[str] = "debug"
    NAMES: ClassVar[tuple[str, ...]] = ("off", "fast", "overfit", "profile")
    name: str = key("off", "name of the debug preset; it is set by debug=NAME")
    num_patients: int = key(
        0, "training patients that the model must overfit; 0: do not test this", at_least=0, at_most=10**6
    )
    must_reach: float = key(
        0.05, "the run fails if the final mean log loss of these patients is above this", above=0, at_most=100
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.num_patients != 1, "num_patients", "must be at least 2, one of each outcome, or 0")
