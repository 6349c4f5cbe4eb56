"""Work items of a sweep on this machine."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from hemexp.config import WhereConfig
from hemexp.runner.events import ItemResult
from hemexp.runner.local import Device, LocalRunner
from hemexp.sweep.backends.base import RUN_ITEM, describe_timeout


class LocalBackend(LocalRunner):
    """A `hemexp.sweep.backends.base.Backend` of processes on this machine.

    Args:
        devices: one item at a time runs on each.
        where: the time limits.
        function: see `hemexp.sweep.backends.base.RUN_ITEM`.
        num_cores: shared by the items that run at the same time; with 0 each item has the cores of its device.
    """

    def __init__(
        self, devices: Sequence[Device], where: WhereConfig, function: str = RUN_ITEM, num_cores: int = 0
    ) -> None:
        super().__init__(devices, function, partial(describe_timeout, where), num_cores)

    def _get_result(self, process: Any, value: Any) -> ItemResult:
        outcome, message = value
        return self._build_result(process, outcome, message)
