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

    Raises:
        OSError: there is nowhere to lock it.
    """
    if not device:
        yield 0
        return
    name = re.sub(r"[^\w-]", "_", device)
    folder, last_resort = lease_folder(), _temporary_folder()
    while True:
        try:
            slot, lock = _free_slot(folder, name, slots)
        except (OSError, NotImplementedError):  # a home that cannot be written to, is full or knows no locks
            if folder == last_resort:
                raise
            folder = last_resort
            continue
        if lock is None:
            time.sleep(_PAUSE)
            continue
        try:
            yield slot
        finally:
            lock.release()
        return


def _free_slot(folder: Path, name: str, slots: int) -> tuple[int, FileLock | None]:
    """Return a slot of a device that was free, and its lock, taken; no lock where all are in use."""
    folder.mkdir(parents=True, exist_ok=True)
    for slot in range(slots):
        lock = FileLock(folder / f"{name}.{slot}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return slot, lock
    return 0, None


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"hemexp-devices-{re.sub(r'[^0-9A-Za-z_-]', '_', getpass.getuser())}"
