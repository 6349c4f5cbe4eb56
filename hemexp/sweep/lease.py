"""A device is lent to one task at a time, over all sweeps of a user on this machine; a killed process gives it back."""

import getpass
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LEASES = "HEMEXP_LEASES"  # in the environment: another folder for the locks
_PAUSE = 0.05  # seconds between two looks at a device that is taken


def lease_folder() -> Path:
    """Return where the locks lie, the same for every sweep of this user on this machine."""
    if given := os.environ.get(LEASES):
        return Path(given)
    # not in $TMPDIR, which a cluster or a session may set for itself; and a home may be that of several machines
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return cache / "hemexp" / "devices" / (re.sub(r"[^\w.-]", "_", platform.node()) or "here")


@contextmanager
def leased(device: str, slots: int) -> Iterator[int]:
    """Wait until one of a device's slots is free, and hold it.

    Args:
        device: its name; empty for what need not be shared out.
        slots: tasks that may be on it at once. Of two sweeps that disagree, the larger number counts.
    """
    if not device:
        yield 0
        return
    folder = lease_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written to
        folder = Path(tempfile.gettempdir()) / f"hemexp-devices-{re.sub(r'[^0-9A-Za-z_-]', '_', getpass.getuser())}"
        folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w-]", "_", device)
    locks = [FileLock(folder / f"{name}.{slot}.lock") for slot in range(slots)]
    while True:
        for slot, lock in enumerate(locks):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield slot
            finally:
                lock.release()
            return
        time.sleep(_PAUSE)
