"""The directory of a sweep: lock it, match existing job directories to configurations, and write its timeline.

A job directory belongs to a job if its configuration hash is equal. Unmatched directories are moved to ``.stale/``.
"""

import csv
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hemexp.config.code import describe_edits
from hemexp.errors import UserError
from hemexp.files import run_directory
from hemexp.files.run_directory import CONFIG_HASH, OutputDirectory, RunDirectory
from hemexp.files.writing import is_partial, write_csv, write_text
from hemexp.process import is_wrong_place
from hemexp.sweep.backends.base import BATCHES, ItemResult
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.results.job_result import load_result

SUMMARY, LEADERBOARD, TIMELINE, STALE = "sweep.json", "leaderboard.csv", "timeline.csv", ".stale"
_TIMELINE_COLUMNS = ["task", "jobs", "device", "started", "ended", "outcome"]
# a directory with one of these holds a sweep
_SWEEP_FILES = {SUMMARY, LEADERBOARD, "multirun.yaml", STALE, ".lock", ".logs", BATCHES}


def open_sweep(directory: Path) -> OutputDirectory:
    """Lock the directory of a sweep, new or started earlier.

    Raises:
        UserError: another sweep is running there, it cannot be written, or it holds other files.
    """
    output = OutputDirectory(directory)
    try:
        names = (
            {path.name for path in directory.iterdir() if not is_partial(path.name)} if directory.exists() else set()
        )
        if names and not names & _SWEEP_FILES:
            raise UserError(f"hydra.sweep.dir={directory}: holds files that do not belong to a sweep; choose a new one")
        output.lock()
    except UserError as error:
        raise UserError(str(error).replace("output_dir=", "hydra.sweep.dir=")) from None
    except OSError as error:
        if is_wrong_place(error):
            raise UserError(f"hydra.sweep.dir={directory}: cannot be used: {error.strerror}") from None
        raise
    return output


def reconcile(directory: Path, jobs: Sequence[SweepJob]) -> list[SweepJob]:
    """Match existing job directories to jobs by configuration hash, and return the jobs that have not ended.

    A job that is done or was pruned has ended; one that failed or was interrupted runs again.

    Directories of other configurations, and of cohorts with changed files, move to ``.stale/``. A matching directory
    that is found there, or under another number, moves to its job. No complete file is deleted. After a kill at any
    moment, the next call finds all directories again.

    Raises:
        UserError: there are earlier runs, but their cohort cannot be read any more.
    """
    cohorts: dict[str, str] = {}
    by_name = {job.directory.name: job for job in jobs}
    code = {name: digest for job in jobs for name, digest in job.code.items()}
    edited: list[str] = []
    for path in [path for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]:
        job = by_name.get(path.name)
        if not any(file.is_file() and not is_partial(file.name) for file in path.rglob("*")):
            shutil.rmtree(path)  # a kill before the first file was complete
        elif _is_damaged(path):
            line = "its result.json cannot be read, so it was moved to .stale/ and the job runs again"
            print(f"{path}: {line}", file=sys.stderr)
            _move_to_stale(path)
        elif job is None or read_config_hash(path) != job.config_hash or not _has_same_cohort(path, job, cohorts):
            result = load_result(path)
            edited += filter(None, [describe_edits(result.code, code) if result else ""])
            _move_to_stale(path)
    stale = _list_stale(directory)
    for job in jobs:
        candidates = [] if job.directory.exists() else stale.get(job.config_hash, [])
        match = next((path for path in candidates if _has_same_cohort(path, job, cohorts)), None)
        if match is not None:
            candidates.remove(match)
            match.rename(job.directory)
            _append_to_log(job.directory, f"this run is now job {job.number} of its sweep: {job.directory}")
    unfinished = [job for job in jobs if not _has_ended(job.directory)]
    if edited and unfinished:
        print(
            f"{edited[0]} after this sweep began: what {len(edited)} of its jobs have computed is of the earlier code "
            f"and is now in {directory / STALE}; the jobs run again. To use it instead, press Ctrl-C, undo the edit, "
            "and start the sweep again",
            file=sys.stderr,
        )
    return unfinished


def _has_ended(directory: Path) -> bool:
    if (directory / "DONE").is_file():
        return True
    result = load_result(directory)
    return result is not None and result.status == "pruned"


def _is_damaged(directory: Path) -> bool:
    """Whether a run has ended, but its result.json cannot be read any more: the job runs again."""
    return (directory / "DONE").is_file() and load_result(directory) is None


def _has_same_cohort(directory: Path, job: SweepJob, cohorts: dict[str, str]) -> bool:
    """Whether a run used the patients that its files hold now; `cohorts` keeps the hashes that were computed."""
    result, data = load_result(directory), job.cfg.data
    if result is None or data.root is None:  # the run has not begun, or the configuration determines the patients
        return True
    if repr(data) not in cohorts:
        from hemexp.cohort.load import load_cohort

        cohorts[repr(data)] = load_cohort(data, key_file=job.cfg.privacy.pseudonymize).data_hash
    return result.data_hash == cohorts[repr(data)]


def create_run_dir(job: SweepJob) -> None:
    """Create the directory of a job, with its configuration hash and the files that Hydra writes for a single run."""
    write_text(job.directory / CONFIG_HASH, f"{job.config_hash}\n")
    for name, text in job.hydra_files.items():
        write_text(job.directory / ".hydra" / name, text)


def record_failure(job: SweepJob, message: str) -> None:
    """Record the failure of a job that could not record it itself because its process ended."""
    RunDirectory(job.directory).fail("failed", message)  # result.json has no other status for it
    _append_to_log(job.directory, message)


def _append_to_log(directory: Path, line: str) -> None:
    with suppress(OSError), (directory / "train.log").open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def read_config_hash(directory: Path) -> str:
    """Return the configuration hash of the run in a directory; empty where it is unknown."""
    result = load_result(directory)
    if result is not None:
        return result.config_hash
    return run_directory.read_config_hash(directory)


def _move_to_stale(directory: Path) -> None:
    stale = directory.parent / STALE
    stale.mkdir(exist_ok=True)
    directory.rename(stale / f"{read_config_hash(directory) or 'unknown'}-{directory.name}-{time.time_ns()}")


def _list_stale(directory: Path) -> dict[str, list[Path]]:
    """Return the runs in ``.stale/`` by configuration hash: finished runs first, then the latest."""
    stale = directory / STALE
    runs: dict[str, list[Path]] = {}
    for path in sorted(stale.iterdir(), reverse=True) if stale.is_dir() else []:
        if not _is_damaged(path) and (config_hash := read_config_hash(path)):
            runs.setdefault(config_hash, []).append(path)
    for paths in runs.values():
        paths.sort(key=lambda path: not (path / "DONE").is_file())
    return runs


def read_devices(directory: Path) -> dict[str, str]:
    """Return the devices that the jobs of an earlier start ran on, by configuration hash; none from a damaged file."""
    try:
        with (directory / LEADERBOARD).open(encoding="utf-8", newline="") as lines:
            return {row["config_hash"]: row["device"] or "" for row in csv.DictReader(lines)}
    except (OSError, KeyError, ValueError, csv.Error):  # ValueError: not UTF-8
        return {}


def append_timeline(directory: Path, results: Sequence[ItemResult]) -> None:
    """Append the work items of this start to ``timeline.csv``; incomplete lines of a damaged file are left out."""
    import pandas as pd

    path = directory / TIMELINE
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()[1:]
    rows = [row for row in csv.reader(lines) if len(row) == len(_TIMELINE_COLUMNS)]
    for result in results:
        numbers = " ".join(str(job.number) for job in result.item.jobs)
        times = (str(round(seconds, 3)) for seconds in (result.started, result.ended))
        rows.append([result.item.kind, numbers, result.device, *times, result.outcome])
    write_csv(pd.DataFrame(rows, columns=_TIMELINE_COLUMNS), path)
