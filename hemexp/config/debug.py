"""Runs that try the machinery, and are no result."""

from dataclasses import dataclass

from hemexp.config.rules import rule


@dataclass
class DebugConfig:
    """What ``debug=`` asks for.

    Attributes:
        name: of the preset; ``off`` in a run that is meant.
        num_patients: of the training part, both outcomes among them, that must be learnt by heart; 0: train as usual.
        must_reach: their log loss at the end, else the run fails.
    """

    name: str = "off"
    num_patients: int = 0
    must_reach: float = 0.05

    def __post_init__(self) -> None:
        known = ("off", "fast", "overfit", "profile")
        rule(self.name in known, "debug.name", self.name, f"must be {', '.join(known)}, as debug=NAME")
        holds = self.num_patients == 0 or self.num_patients >= 2
        rule(holds, "debug.num_patients", self.num_patients, "must be 2 or more, one of each outcome; 0: all")
        rule(self.must_reach > 0, "debug.must_reach", self.must_reach, "must be above 0")
