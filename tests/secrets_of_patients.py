"""Search files for what tells who a patient is: ids, serials, dates, paths, names of user and machine, and hashes."""

import base64
import getpass
import hashlib
import socket
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd

FEWEST_LETTERS = 5  # a shorter name, such as a number from 1 to 100, occurs in every file


def list_secrets(scans: pd.DataFrame, root: Path) -> dict[bytes, str]:
    """Return the byte strings that must not occur, each with what it is."""
    names = {*scans["patient_id"].astype(str), *scans["scan_serial"].astype(str)}
    days = {day.strftime(form) for day in scans["scan_time"].dropna() for form in ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d")}
    pairs = set(scans["patient_id"].astype(str) + "|" + scans["scan_serial"].astype(str))
    times = {int(moment.value) for moment in scans["scan_time"].dropna()}
    found = {form: f"{name} as {kind}" for name in {*names, *pairs} for kind, form in _list_forms(name)}
    found |= {day.encode(): f"the day {day}" for day in days}
    found |= {struct.pack("<q", time // unit): f"the time {time}" for time in times for unit in (1, 1000)}
    for secret in (str(root), str(Path.home()), getpass.getuser(), socket.gethostname()):
        if len(secret) >= FEWEST_LETTERS:
            found[secret.encode()] = f"the path or name {secret}"
    return found


def _list_forms(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield a name as text and number, and the beginnings of its hashes, so that shortened ones are found, too."""
    if len(name) >= FEWEST_LETTERS:
        yield "text", name.encode()
        yield "UTF-16", name.encode("utf-16-le")
    if name.isdecimal() and len(name) >= FEWEST_LETTERS:
        yield "a whole number", struct.pack("<q", int(name))
        yield "a decimal number", struct.pack("<d", float(name))
    for kind in ("md5", "sha1", "sha256"):
        digest = hashlib.new(kind, name.encode()).digest()
        yield f"{kind} in hexadecimal digits", digest.hex()[:8].encode()
        yield f"{kind} in capital hexadecimal digits", digest.hex()[:8].upper().encode()
        yield f"{kind} in base64", base64.b64encode(digest)[:8]
        yield f"{kind} in bytes", digest[:8]


def find_secrets(secrets: dict[bytes, str], paths: Iterable[Path]) -> list[str]:
    """Return what occurs in the names and the contents of files; archives are unpacked."""
    found = []
    for path in paths:
        contents = [path.name.encode(), path.read_bytes()]
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            contents += [archive.read(name) for name in archive.namelist()]
        content = b"\n".join(contents)
        found += [f"{path}: {what}" for secret, what in secrets.items() if secret in content]
    return found


def list_files(*folders: Path) -> list[Path]:
    """Return all files in folders."""
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
