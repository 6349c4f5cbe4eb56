"""The process of one work item."""

import logging
import os
import pickle
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import nan
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from typing import Any

from hemexp.hardware import CORES
from hemexp.process import raise_interrupt
from hemexp.runner.device_lock import lock_device

STOP = "stop"  # message to a process: save the state and end


def run_item(
    function: str, item: bytes, environment: dict[str, str], lock: tuple[str, int], connection: Connection
) -> None:
    """Run a work item and send its result to the launcher.

    Messages: ``("begun",)``, ``("started",)`` when the device is free, ``("progress", epochs, skipped, loss)``, and
    ``("done", value)``, ``("raised", exception)`` or ``("interrupted",)``.

    Args:
        function: ``module:name``; it gets the item and a function for progress.
        item: the pickled work item.
        environment: replaces that of the server, which forked this process; CUDA has not read it yet.
        lock: name and slots of the device; see `lock_device`.
        connection: to the launcher. When the launcher ends, this process ends at once.
    """
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # is read from the environment again
    if hasattr(os, "setsid"):
        os.setsid()  # the processes that an item starts are killed with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, raise_interrupt)
    link = _Link(connection)
    link.send("begun")
    threading.Thread(target=_listen, args=(connection,), daemon=True).start()
    try:
        if environment.get(CORES):
            _limit_threads(int(environment[CORES]))
        run: Callable[[Any, Any], Any] = resolve_name(function)
        with _lock(*lock):
            link.send("started")
            link.send("done", run(pickle.loads(item), link.report))
    except KeyboardInterrupt:
        link.send("interrupted")
    except BaseException as error:
        error.add_note(traceback.format_exc())
        link.send("raised", error)
    logging.shutdown()
    os._exit(0)  # does not wait for the threads of libraries


@contextmanager
def _lock(name: str, slots: int) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_device(name, slots))
        except OSError as error:
            raise OSError(f"{name} cannot be locked: {error}") from None
        yield


class _Link:
    """The connection to the launcher, for messages of several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, *message: Any) -> None:
        with self._lock:
            try:
                content = pickle.dumps(message)  # not by `Connection.send`, which would share the memory of tensors
            except Exception as error:
                content = pickle.dumps(("raised", RuntimeError(f"{message[1]!r} cannot be sent: {error}")))
            try:
                self._connection.send_bytes(content)
            except BrokenPipeError:  # the launcher has ended
                os._exit(1)

    def report(self, epochs: int, skipped: int = 0, loss: float = nan) -> None:
        self.send("progress", epochs, skipped, loss)


def _listen(connection: Connection) -> None:
    """End this process with its launcher, and interrupt it when the launcher asks for it."""
    try:
        while True:
            if connection.recv() == STOP:
                os.kill(os.getpid(), signal.SIGTERM)
    except (EOFError, OSError):
        os._exit(1)


def _limit_threads(cores: int) -> None:
    """Limit the threads of libraries that were loaded before the environment of this item was known."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(cores)
