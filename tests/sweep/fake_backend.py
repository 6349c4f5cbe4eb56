"""A backend that runs the real work items in this process, one after another, and loses some of them."""

from collections.abc import Callable, Sequence

from hemexp.sweep.backends.base import ItemResult, WorkItem
from hemexp.sweep.backends.run_item import run_item


class FakeBackend:
    """Run items in their order.

    Args:
        loses: whether an item is lost: its process is killed before it writes anything.
    """

    capacity = 2
    trains_and_finishes, num_finishers = True, 2

    def __init__(self, loses: Callable[[WorkItem], bool] = lambda item: False) -> None:
        self.loses, self.items, self.ran = loses, list[WorkItem](), list[WorkItem]()

    @property
    def idle(self) -> bool:
        return not self.items

    def submit(self, items: Sequence[WorkItem]) -> None:
        self.items = sorted([*self.items, *items], key=lambda item: item.order)

    def wait(self, seconds: float) -> list[ItemResult]:
        item = self.items.pop(0)
        if self.loses(item):
            return [ItemResult(item, "killed", "its process ended by SIGKILL")]
        self.ran.append(item)
        return [ItemResult(item, *run_item(item), device="here")]

    def stop(self) -> None:
        self.items = []

    def close(self) -> None:
        pass
