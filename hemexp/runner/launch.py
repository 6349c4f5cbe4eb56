"""Start a process for a work item: forked from a server that has preloaded the code, or spawned where there is no fork.

A forked process needs no ``__main__``: the script that starts it is not imported again.
"""

import os
import pickle
import signal
import threading
from contextlib import suppress
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hemexp.runner import child

_PACKAGES = str(Path(__file__).parents[2])  # hemexp may run from its source
_WAIT_SECONDS = 5.0  # for the exit code of a process that was killed
HAS_FORK = hasattr(os, "fork")


class _Server(forkserver.ForkServer):
    """Multiprocessing's server of forks, for this package only; it ends with the processes that use it."""

    def __init__(self) -> None:
        super().__init__()
        self.set_forkserver_preload(["hemexp.runner.preload"])
        self._starting = threading.Lock()

    def ensure_running(self) -> None:
        """Start the server if it does not run. A process that was forked from a server uses that one."""
        if child.server and child.server == os.getppid():
            given: Any = forkserver._forkserver
            self._forkserver_address, self._forkserver_alive_fd = given._forkserver_address, given._forkserver_alive_fd
            return
        with self._starting:
            paths = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH"))))
            settings = {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}  # not the modules of the current directory
            previous = {name: os.environ.get(name) for name in settings}
            os.environ |= settings
            try:
                super().ensure_running()
            finally:
                for name, value in previous.items():
                    os.environ.pop(name) if value is None else os.environ.update({name: value})


_servers: dict[int, _Server] = {}  # by process: a fork of this process does not use its server


def _get_server() -> _Server:
    return _servers.setdefault(os.getpid(), _Server())


def start_server() -> None:
    """Start the server that forks the processes of work items. It imports for seconds; do other work meanwhile."""
    if HAS_FORK:
        _get_server().ensure_running()


class Process:
    """The process of a work item.

    Args:
        connection: to the launcher.

    Raises:
        EOFError, OSError: the server has ended.
    """

    def __init__(self, connection: Connection) -> None:
        if not HAS_FORK:
            self._spawned = get_context("spawn").Process(target=child.run_item, args=(connection,))
            self._spawned.start()
            self.pid = self._spawned.pid or 0
            return
        self._status, data = _get_server().connect_to_new_process([connection.fileno(), 2])
        try:
            with os.fdopen(data, "wb") as stream:
                pickle.dump({}, stream)  # multiprocessing's own preparation, which would import __main__
                pickle.dump(child.Forked(), stream)
            self.pid = int(forkserver.read_signed(self._status))
        except (EOFError, OSError):
            os.close(self._status)
            raise

    def kill(self) -> None:
        """End the process and its child processes at once."""
        with suppress(OSError):
            if not hasattr(os, "killpg"):
                return self._spawned.kill()
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has ended, or has just been started
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int | None:
        """Wait for its end; return the exit code, None if it is not known because the server does not answer."""
        if not HAS_FORK:
            self._spawned.join()
            return self._spawned.exitcode
        try:
            return int(forkserver.read_signed(self._status)) if wait([self._status], _WAIT_SECONDS) else None
        except EOFError:
            return None
        finally:
            os.close(self._status)
