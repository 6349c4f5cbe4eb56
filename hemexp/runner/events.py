"""The events of work items that a runner reports."""

from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """The outcome of a work item, which its function may return; the words are those of `ItemResult`.

    If the function returns any other value, the item is ``done``.
    """

    outcome: str
    message: str = ""


@dataclass(frozen=True)
class ItemResult:
    """The end of a work item.

    Attributes:
        item: the work item.
        outcome: ``done``; ``failed`` (it raised an exception); ``killed`` (its process ended); ``timeout``;
            ``pruned``; ``interrupted`` (the runner was stopped; the next start continues it).
        message: one line, empty where there is nothing to report.
        device: such as ``cpu 0``, ``gpu 3`` or the name of a node.
        started: seconds since 1970; 0 if it did not start.
        ended: seconds since 1970.
        value: what the function returned, or the exception that it raised.
    """

    item: Any
    outcome: str
    message: str = ""
    device: str = ""
    started: float = 0.0
    ended: float = 0.0
    value: Any = None


@dataclass(frozen=True)
class Heartbeat:
    """A sign that a work item runs.

    Attributes:
        item: the work item.
        epochs: trained since the last one, over all its networks.
        skipped: epochs that are not needed, because networks stopped early.
        loss: mean of the networks; NaN if unknown.
    """

    item: Any
    epochs: int
    skipped: int = 0
    loss: float = nan
