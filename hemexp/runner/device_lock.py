"""Device locks: each device runs a limited number of work items at a time, over all sweeps of a user on a machine.

A killed process releases its lock.
"""

import getpass
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

LOCKS_VARIABLE = "HEMEXP_LEASES"  # environment variable: another directory for the locks
_POLL_INTERVAL = 0.05  # seconds between two attempts to lock a device that is in use


def get_lock_directory() -> Path:
    """Return the directory of the locks, the same for every sweep of this user on this machine."""
    if given := os.environ.get(LOCKS_VARIABLE):
        return Path(given)
    # not $TMPDIR, which a cluster or a session may change; a home directory may be shared by several machines
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return cache / "hemexp" / "devices" / (re.sub(r"[^\w.-]", "_", platform.node()) or "here")


@contextmanager
def lock_device(device: str, slots: int) -> Iterator[None]:
    """Wait until a slot of a device is free, and hold it.

    Args:
        device: its name; empty for a device that needs no lock.
        slots: work items that may use the device at the same time. If two sweeps disagree, the larger number counts.

    Raises:
        OSError: no directory can hold the lock.
    """
    if not device:
        yield
        return
    name = re.sub(r"[^\w-]", "_", device)
    directory, user = get_lock_directory(), re.sub(r"[^0-9A-Za-z_-]", "_", getpass.getuser())
    fallback = Path(tempfile.gettempdir()) / f"hemexp-devices-{user}"
    for number in count():
        if number and number % slots == 0:  # all slots are in use
            time.sleep(_POLL_INTERVAL)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = FileLock(directory / f"{name}.{number % slots}.lock").acquire(timeout=0)
            break
        except Timeout:
            continue
        except (OSError, NotImplementedError) as error:  # a home directory that is read-only, full, or without locks
            if directory == fallback:
                raise OSError(f"{device} cannot be locked: {error}") from None
            directory = fallback
    with lock:
        yield
