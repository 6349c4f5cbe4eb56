"""Small choices from which a damage is built: drawn by hypothesis, or repeated."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Draw numbers and elements with a function that returns a whole number below its argument."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def between(self, low: int, high: int) -> int:
        """Return a whole number from low to high."""
        return low + self.below(high - low + 1)

    def part(self, items: Sequence[T], least: int = 1) -> list[T]:
        """Return a run of neighbors of the items."""
        size = self.between(min(least, len(items)), len(items))
        start = self.below(len(items) - size + 1)
        return list(items[start : start + size])
