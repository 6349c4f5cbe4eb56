"""Whose folder is whose: finished jobs are found by the hash of their configuration, strangers are moved aside."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hemexp.errors import UserError
from hemexp.files.run_directory import OutputDirectory, RunDirectory
from hemexp.files.writing import write_text
from hemexp.sweep.plan.job import SweepJob

STALE, BATCHES = ".stale", ".batches"
_HASH = Path(".hydra", "config_hash")  # tells whose a folder is before its job has begun
_OWN = {"sweep.json", "leaderboard.csv", "multirun.yaml", STALE, ".lock"}  # any of these is in a sweep's directory


def open_sweep(directory: Path) -> OutputDirectory:
    """Lock a sweep's directory, new or begun earlier.

    Raises:
        UserError: another sweep is at work there, it cannot be written, or it holds something else.
    """
    place = OutputDirectory(directory)
    try:
        names = {path.name for path in directory.iterdir()} if directory.exists() else set()
        if names and not names & _OWN:
            raise UserError(f"hydra.sweep.dir={directory}: holds files that are no sweep's; choose a new directory")
        place.lock()
    except UserError as error:
        raise UserError(str(error).replace("output_dir=", "hydra.sweep.dir=")) from None
    except OSError as error:
        raise UserError(f"hydra.sweep.dir={directory}: cannot be used: {error.strerror}") from None
    return place


def settle(directory: Path, jobs: Sequence[SweepJob]) -> list[SweepJob]:
    """Give every job the folder that holds its own run, wherever that was left, and return those that are not done.

    A folder with another configuration's run goes to ``.stale/``, and so does one of a cohort whose files have changed
    since; a run found there, or under another number, comes back. Nothing is deleted. Killed at any moment, the next
    call finds everything again.

    Raises:
        UserError: there are earlier runs, and their cohort cannot be read any more.
    """
    cohorts: dict[str, str] = {}
    by_name = {job.folder.name: job for job in jobs}
    for folder in _numbered(directory):
        job = by_name.get(folder.name)
        if job is None or read_config_hash(folder) != job.key or not _same_cohort(folder, job, cohorts):
            _put_aside(folder)
    aside = _aside(directory)
    for job in jobs:
        found = [] if job.folder.exists() else aside.get(job.key, [])
        fitting = next((folder for folder in found if _same_cohort(folder, job, cohorts)), None)
        if fitting is not None:
            found.remove(fitting)
            fitting.rename(job.folder)
            _note(job.folder, f"this run is job {job.number} of its sweep now: {job.folder}")
    return [job for job in jobs if not (job.folder / "DONE").is_file()]


def _same_cohort(folder: Path, job: SweepJob, known: dict[str, str]) -> bool:
    """Whether a run's patients are those that its files hold now; what those hold is kept in `known`."""
    there, data = read_result(folder).get("data_hash"), job.cfg.data
    if there is None or data.root is None:  # it had not begun, or its patients follow from the configuration
        return True
    if repr(data) not in known:
        from hemexp.cohort.load import load_cohort

        known[repr(data)] = load_cohort(data).data_hash
    return bool(there == known[repr(data)])


def claim(job: SweepJob) -> None:
    """Make a job's folder and write into it whose it is, and its ``.hydra/``."""
    write_text(job.folder / _HASH, f"{job.key}\n")
    job.write_hydra()


def note_loss(job: SweepJob, outcome: str, why: str) -> None:
    """Write down for a job what it could not write itself: that its process was ended."""
    RunDirectory(job.folder).fail(outcome, why)
    _note(job.folder, why)


def _note(folder: Path, line: str) -> None:
    with suppress(OSError), (folder / "train.log").open("a", encoding="utf-8") as lines:
        lines.write(f"{line}\n")


def read_config_hash(folder: Path) -> str:
    """Return the configuration hash of the run in a folder; empty where nothing tells."""
    result = read_result(folder)
    if "config_hash" in result:
        return str(result["config_hash"])
    try:
        return (folder / _HASH).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def read_result(folder: Path) -> dict[str, Any]:
    """Return a run's result.json; nothing where there is none, or none that can be read."""
    try:
        content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _numbered(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]


def _put_aside(folder: Path) -> None:
    place = folder.parent / STALE
    place.mkdir(exist_ok=True)
    folder.rename(place / f"{read_config_hash(folder) or 'unknown'}-{folder.name}-{time.time_ns()}")


def _aside(directory: Path) -> dict[str, list[Path]]:
    """Return the runs in ``.stale/`` by configuration: finished ones first, then the latest."""
    place = directory / STALE
    found: dict[str, list[Path]] = {}
    for folder in sorted(place.iterdir(), reverse=True) if place.is_dir() else []:
        if key := read_config_hash(folder):
            found.setdefault(key, []).append(folder)
    for folders in found.values():
        folders.sort(key=lambda folder: not (folder / "DONE").is_file())
    return found
