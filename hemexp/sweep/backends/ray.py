"""Jobs on a Ray cluster, or on a Ray that is started here: each gets its share of the CPUs and GPUs."""

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
from hemexp.sweep.backends.cluster import Elsewhere, Flight
from hemexp.sweep.backends.cluster_worker import WORK, End, run_elsewhere

_OBJECTS = 10**8  # bytes of Ray's object store: jobs leave files, and return two words
_KNOCK = 10.0  # seconds within which a cluster must answer
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to its makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as it will be by default; else it says so
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # what happens to a job is told by us, not by "(raylet)"
}


def check(where: RayConfig, accelerator: str) -> None:
    """Connect to Ray, or start it, and refuse jobs for which no node has room; Ray would let them wait for ever.

    Raises:
        UserError: Ray is missing or not to be reached, or no node has what a job asks for.
    """
    if find_spec("ray") is None:
        raise UserError('where=ray: needs the package ray; pip install "hemexp[ray]"')
    connect(where)
    lack = _lack(_needs(where, accelerator))
    if lack:
        raise UserError(lack)


def connect(where: RayConfig) -> None:
    """Connect to Ray, or start it where no address is given; a connection that there is already serves too.

    Raises:
        UserError: nothing answers at the address.
    """
    os.environ |= _SETTINGS
    import ray

    if ray.is_initialized():
        return
    if where.address is not None:
        _knock(where.address)
    starts: dict[str, Any] = {"object_store_memory": _OBJECTS, "include_dashboard": False}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            address=where.address or "local",
            **({} if where.address else starts),
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"where.address={where.address}: no Ray answers there: {error}".splitlines()[0]) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray takes SIGTERM for itself
                signal.signal(number, handler)


def _knock(address: str) -> None:
    """Try an address of the form ``[ray://]HOST:PORT`` first: Ray tries for minutes, and prints what it tries."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"where.address={address}: no Ray answers there: {error}") from None


class RayBackend(Elsewhere):
    """A `hemexp.sweep.backends.base.Backend` of Ray tasks, each tried once.

    Args:
        where: what each job asks for.
        directory: of the sweep, on every node the same.
        accelerator: that jobs train on.
        function: what does a task; see `hemexp.sweep.backends.cluster_worker.run_elsewhere`.
    """

    patience = 20.0  # seconds between two looks at the nodes

    def __init__(self, where: RayConfig, directory: Path, accelerator: str, function: str = WORK) -> None:
        import ray

        super().__init__(where, directory / ".ray")
        self._function = function
        connect(where)
        self._needs, self._done, self._lack = _needs(where, accelerator), set[Any](), ""
        self._looked = time.monotonic()
        self.capacity = max(1, sum(_room(node, self._needs) for node in _nodes()))
        self._run: Any = ray.remote(run_elsewhere).options(
            name="hemexp", num_cpus=self._needs["CPU"], num_gpus=self._needs["GPU"], max_retries=0
        )

    def launch(self, flights: Sequence[Flight]) -> None:
        """Hand tasks over; Ray starts them where there is room."""
        cores = max(1, int(self._needs["CPU"]))
        for flight in flights:
            flight.ticket = self._run.remote(flight.task, flight.beats, Path.cwd(), cores, self._function)
            self.flights.append(flight)

    def sleep(self, seconds: float) -> None:
        """Wait until a task has ended."""
        import ray

        ray.wait([flight.ticket for flight in self.flights], timeout=seconds)

    def refresh(self) -> None:
        """Note which tasks have ended, and now and then whether there still is a node for them."""
        import ray

        tickets = [flight.ticket for flight in self.flights]
        self._done = set(ray.wait(tickets, num_returns=len(tickets), timeout=0)[0]) if tickets else set()
        if time.monotonic() - self._looked >= self.patience:
            self._looked, self._lack = time.monotonic(), _lack(self._needs)

    def end_of(self, flight: Flight) -> End | None:
        """Return what the task returned, or what became of its process."""
        import ray

        if flight.ticket not in self._done:
            if not self._lack or flight.began:
                return None
            self.kill(flight)  # else it would run when a node comes back, and nobody would know
            return "killed", self._lack
        try:
            outcome, message = ray.get(flight.ticket)
        except ray.exceptions.TaskCancelledError:
            outcome, message = "interrupted", ""
        except ray.exceptions.RayTaskError as error:
            return "failed", str(error).strip().splitlines()[-1]
        except ray.exceptions.OutOfMemoryError:
            return "killed", "its process was ended by Ray: the node ran out of memory"
        except ray.exceptions.RayError as error:
            return "killed", f"its process or its node ended: {type(error).__name__}"
        return (outcome, message) if outcome != "interrupted" or self.stopped else ("killed", "somebody interrupted it")

    def recall(self, waiting: Sequence[Flight], running: Sequence[Flight]) -> None:
        """Take back what waits, and interrupt what runs."""
        import ray

        for flight in (*waiting, *running):
            ray.cancel(flight.ticket)

    def kill(self, flight: Flight) -> None:
        """End a task's process."""
        import ray

        ray.cancel(flight.ticket, force=True)

    def close(self) -> None:
        """End every task that is left, and let go of Ray."""
        import ray

        super().close()
        ray.shutdown()
        with suppress(OSError):  # a task that was killed may still have its say
            self.folder.rmdir()


def _needs(where: RayConfig, accelerator: str) -> dict[str, float]:
    gpus = where.gpus_per_job if where.gpus_per_job is not None else float(accelerator in {"gpu", "cuda"})
    return {"CPU": where.cpus_per_job, "GPU": gpus}


def _nodes() -> list[dict[str, float]]:
    """Return what each living node has in all."""
    import ray

    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes  # which Ray leaves without types
    return [node["Resources"] for node in nodes() if node["Alive"]]


def _room(node: dict[str, float], needs: dict[str, float]) -> int:
    """Return how many tasks an idle node runs at once."""
    return int(min(_share(node.get(kind, 0.0), need) for kind, need in needs.items() if need))


def _share(there: float, need: float) -> float:
    """Return how many of a kind's holders fit; no task gets halves of two GPUs."""
    return there // 1 * (1 / need // 1) if need < 1 else there // need


def _lack(needs: dict[str, float]) -> str:
    """Say what no node has; empty where a task fits on one."""
    nodes = _nodes()
    if any(_room(node, needs) for node in nodes):
        return ""
    most = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in needs}
    asked, there = (", ".join(f"{each[kind]:g} {kind}" for kind in needs) for each in (needs, most))
    return (
        f"where.gpus_per_job={needs['GPU']:g} where.cpus_per_job={needs['CPU']:g}: a job needs {asked}; "
        f"no node of this Ray has that (at most {there})"
    )
