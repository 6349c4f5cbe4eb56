"""Jobs on a Ray cluster, or on Ray on this machine: each gets its share of the CPUs and GPUs."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hemexp.config import RayConfig
from hemexp.errors import UserError
from hemexp.hardware import GPU_SHARES, limit_cores
from hemexp.sweep.backends.base import Outcome
from hemexp.sweep.backends.cluster import ClusterBackend, RemoteItem
from hemexp.sweep.backends.cluster_worker import run_remote_item

_OBJECT_STORE_BYTES = 10**8  # jobs write files, and return two short texts
_CONNECT_TIMEOUT = 10.0  # seconds
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage report
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the future default; avoids a warning
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # hemexp reports the jobs, not "(raylet)"
}


def check(where: RayConfig, accelerator: str) -> None:
    """Connect to Ray, or start it, and refuse jobs that fit on no node: Ray would let them wait without end.

    Raises:
        UserError: Ray is missing or cannot be reached, or no node has the resources of a job.
    """
    if find_spec("ray") is None:
        raise UserError('where=ray: needs the package ray; pip install "hemexp[ray]"')
    connect(where)
    if shortage := _describe_shortage(_get_needs(where, accelerator)):
        raise UserError(shortage)


def connect(where: RayConfig) -> None:
    """Connect to Ray, or start it where no address is given; an existing connection is used.

    Raises:
        UserError: Ray does not answer at the address.
    """
    os.environ |= _ENVIRONMENT
    import ray

    if ray.is_initialized():
        return
    options: dict[str, Any] = {"address": where.address}
    if where.address:
        _check_address(where.address)
    else:
        options = {"address": "local", "object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"where.address={where.address}: Ray does not answer there: {error}".splitlines()[0]) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray sets a handler for SIGTERM
                signal.signal(number, handler)


def _check_address(address: str) -> None:
    """Try to connect to ``[ray://]HOST:PORT`` first: Ray itself tries for minutes, and prints every attempt."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"where.address={address}: Ray does not answer there: {error}") from None


class RayBackend(ClusterBackend):
    """A `hemexp.sweep.backends.devices.Backend` of Ray tasks, each tried once.

    Args:
        where: the resources of a job, and the time limits.
        directory: of the sweep; it has the same path on every node.
        accelerator: that jobs train on.
    """

    def __init__(self, where: RayConfig, directory: Path, accelerator: str) -> None:
        import ray

        super().__init__(where, directory / ".ray")
        connect(where)
        self._ray = ray  # an optional package, imported here only
        self._needs, self._ended, self._shortage = _get_needs(where, accelerator), set[Any](), ""
        self.capacity = max(1, sum(_count_slots(node, self._needs) for node in _list_nodes()))
        self._run: Any = ray.remote(run_remote_item).options(
            name="hemexp", num_cpus=self._needs["CPU"], num_gpus=self._needs["GPU"], max_retries=0
        )

    def launch(self, items: Sequence[RemoteItem]) -> None:
        """Submit items; Ray starts them where resources are free."""
        gpus = self._needs["GPU"]
        environment = limit_cores(int(self._needs["CPU"])) | {GPU_SHARES: f"{1 / gpus:.0f}" if 0 < gpus < 1 else "1"}
        for remote in items:
            run = self._run if remote.item.on_device else self._run.options(num_gpus=0)
            remote.handle = run.remote(remote.item, remote.heartbeat_file, Path.cwd(), environment, self.function)
            self.items.append(remote)

    def sleep(self, seconds: float) -> None:
        """Wait until an item has ended."""
        self._ray.wait([remote.handle for remote in self.items], timeout=seconds)

    def refresh(self) -> None:
        """Find the items that have ended, and check at times whether a node still has the resources of a job."""
        handles = [remote.handle for remote in self.items]
        self._ended = set(self._ray.wait(handles, num_returns=len(handles), timeout=0)[0]) if handles else set()
        if time.monotonic() - self.queried >= self.query_interval:
            self.queried, self._shortage = time.monotonic(), _describe_shortage(self._needs)

    def get_outcome(self, remote: RemoteItem) -> Outcome | None:
        """Return the outcome of an item, or the reason why its process ended."""
        exceptions = self._ray.exceptions
        if remote.handle not in self._ended:
            if not self._shortage or remote.first_heartbeat:
                return None
            self.kill(remote)  # or it would run unnoticed when a node comes back
            return Outcome("killed", self._shortage)
        try:
            outcome, message = self._ray.get(remote.handle)
        except exceptions.TaskCancelledError:
            outcome, message = "interrupted", ""
        except exceptions.RayTaskError as error:
            return Outcome("failed", str(error).strip().splitlines()[-1])
        except exceptions.OutOfMemoryError:
            return Outcome("killed", "its process was ended by Ray: the node ran out of memory")
        except exceptions.RayError as error:
            return Outcome("killed", f"its process or its node ended: {type(error).__name__}")
        if outcome == "interrupted" and not self.stopped_at:
            return Outcome("killed", "interrupted from outside the sweep")
        return Outcome(outcome, message)

    def interrupt(self, waiting: Sequence[RemoteItem], running: Sequence[RemoteItem]) -> None:
        """Cancel the waiting items, and interrupt the running ones."""
        for remote in (*waiting, *running):
            self._ray.cancel(remote.handle)

    def kill(self, remote: RemoteItem) -> None:
        """End the process of an item."""
        self._ray.cancel(remote.handle, force=True)

    def close(self) -> None:
        """End every remaining item, and disconnect from Ray."""
        super().close()
        self._ray.shutdown()
        with suppress(OSError):  # a killed item may still have written a heartbeat
            self.directory.rmdir()


Backend = RayBackend  # see `hemexp.sweep.backends.devices`


def _get_needs(where: RayConfig, accelerator: str) -> dict[str, float]:
    gpus = where.gpus_per_job if where.gpus_per_job is not None else float(accelerator in {"gpu", "cuda"})
    return {"CPU": where.cpus_per_job, "GPU": gpus}


def _list_nodes() -> list[dict[str, float]]:
    """Return the total resources of each node that is alive."""
    import ray

    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes  # has no types in Ray
    return [node["Resources"] for node in nodes() if node["Alive"]]


def _count_slots(node: dict[str, float], needs: dict[str, float]) -> int:
    """Return the number of items that an idle node can run at the same time."""
    return int(min(_count_fits(node.get(kind, 0.0), need) for kind, need in needs.items() if need))


def _count_fits(available: float, need: float) -> float:
    """Return how often a need fits; an item never gets parts of two GPUs."""
    return available // 1 * (1 / need // 1) if need < 1 else available // need


def _describe_shortage(needs: dict[str, float]) -> str:
    """Return which resources no node has; empty where an item fits on a node."""
    nodes = _list_nodes()
    if any(_count_slots(node, needs) for node in nodes):
        return ""
    most = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in needs}
    needed, available = (", ".join(f"{amounts[kind]:g} {kind}" for kind in needs) for amounts in (needs, most))
    return (
        f"where.gpus_per_job={needs['GPU']:g} where.cpus_per_job={needs['CPU']:g}: a job needs {needed}, but no node "
        f"of this Ray has that (at most {available}); ask for less"
    )
