"""The process of one work item."""

import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from multiprocessing.connection import Connection
from multiprocessing.forkserver import get_inherited_fds
from pkgutil import resolve_name
from typing import Any, NoReturn

from hemexp.hardware import CORES
from hemexp.process import raise_interrupt
from hemexp.runner.device_lock import lock_device
from hemexp.runner.events import Outcome

STOP = "stop"  # message to a process: save the state and end


@dataclass(frozen=True)
class Order:
    """The message that tells a process which item to run, and where.

    Attributes:
        function: ``module:name``; it gets the item and a function for progress.
        item: the pickled work item.
        environment: replaces that of the server, which forked this process; CUDA has not read it yet.
        lock: name and slots of the device; see `lock_device`.
        directory: the current directory.
        path: see `sys.path`.
        arguments: see `sys.argv`.
    """

    function: str
    item: bytes
    environment: dict[str, str]
    lock: tuple[str, int]
    directory: str
    path: list[str]
    arguments: list[str]


server = 0  # the process that forked this one; 0 where this is not the process of a work item


class Forked:
    """The entry point of a process that was forked from the server; multiprocessing calls `_bootstrap`."""

    def _bootstrap(self, sentinel: int) -> NoReturn:
        global server
        server = os.getppid()
        connection, output = get_inherited_fds() or (0, 2)
        for number in (1, 2):  # the server's own lead nowhere
            os.dup2(output, number)
        os.close(output)
        run_item(Connection(connection))


def run_item(connection: Connection) -> NoReturn:
    """Run the work item that comes through a connection, and send its result to the launcher.

    Messages: ``("begun",)``, ``("started",)`` when the device is free, ``("progress", epochs, skipped, loss)``, and
    ``("result", outcome, message, value)``; see `ItemResult`. When the launcher ends, this process ends at once.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # the processes that an item starts are killed with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, raise_interrupt)
    link = _Link(connection)
    try:
        order: Order = pickle.loads(connection.recv_bytes())
        link.send("begun")
        threading.Thread(target=_listen, args=(connection,), daemon=True).start()
        _prepare(order)
        run: Callable[[Any, Any], Any] = resolve_name(order.function)
        item = _unpickle(order.item)
        with lock_device(*order.lock):
            link.send("started")
            value = run(item, link.report)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it would interrupt the sending of the result
        outcome = value if isinstance(value, Outcome) else Outcome("done")
        link.send("result", *outcome, value)
    except EOFError:  # the launcher has ended
        end_process()
    except KeyboardInterrupt:
        link.send("result", "interrupted", "", None)
    except BaseException as error:
        error.add_note(traceback.format_exc())
        link.send("result", "failed", f"{type(error).__name__}: {error}", error)
    logging.shutdown()
    sys.stdout.flush()
    end_process()


def end_process() -> NoReturn:
    """End this process and those that the item has started, without waiting for the threads of libraries."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _prepare(order: Order) -> None:
    """Take the environment, the directory and the threads of an item."""
    os.environ.clear()
    os.environ.update(order.environment)
    tempfile.tempdir = None  # is read from the environment again
    os.chdir(order.directory)
    sys.path[:], sys.argv[:] = order.path, order.arguments
    if cores := order.environment.get(CORES):
        from threadpoolctl import threadpool_limits

        threadpool_limits(int(cores))  # of libraries that were loaded before this environment was known


def _unpickle(content: bytes) -> Any:
    try:
        return pickle.loads(content)
    except AttributeError as error:
        if "__main__" not in str(error):
            raise
        rule = "another process gets only what a module defines, not the program or notebook that runs"
        raise TypeError(f"{error}; rule: {rule}") from error


class _Link:
    """The connection to the launcher, for messages of several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, *message: Any) -> None:
        with self._lock:
            try:
                content = pickle.dumps(message)  # not by `Connection.send`, which would share the memory of tensors
            except Exception as error:
                failure = RuntimeError(f"{message[-1]!r} cannot be sent: {error}")
                content = pickle.dumps(("result", "failed", f"RuntimeError: {failure}", failure))
            try:
                self._connection.send_bytes(content)
            except BrokenPipeError:  # the launcher has ended
                end_process()

    def report(self, epochs: int, skipped: int = 0, loss: float = nan) -> None:
        self.send("progress", epochs, skipped, loss)


def _listen(connection: Connection) -> None:
    """End this process with its launcher, and interrupt it when the launcher asks for it."""
    try:
        while True:
            if connection.recv() == STOP:
                os.kill(os.getpid(), signal.SIGTERM)
    except (EOFError, OSError):
        end_process()
