"""Output directories: the lock, the content of a run directory, and its state.

Other programs read the files in these directories; nothing else is shared.
"""

import errno
import logging
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from hemexp.config import TrainConfig, UpdateConfig, config_hash, list_code, list_differences
from hemexp.config.code import describe_edits
from hemexp.errors import UserError
from hemexp.files.result import INCOMPLETE, RESULT, OtherVersion, RunResult, read_result, write_result
from hemexp.files.writing import is_partial, set_aside, write_text
from hemexp.process import is_wrong_place

# files of a run that ended before its result.json, or that was trained in a batch before it started itself
BEFORE_RESULT = {".hydra", ".lock", "train.log", "update.log", "FAILED", "checkpoints"}
_FILES = "your own code, run_dir, data.mapping, model.init_from or privacy.pseudonymize"
CONFIG_HASH = Path(".hydra", "config_hash")  # identifies a run without a result.json that can be read
log = logging.getLogger(__name__)


class OutputDirectory:
    """A directory that one process at a time may write to."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            place = self.path.resolve()
        except RuntimeError:  # before Python 3.13
            raise UserError(f"output_dir={self.path}: is a symbolic link that leads to itself; remove it") from None
        self._lock = FileLock(place / ".lock", is_singleton=True)  # one for each process and path

    def lock(self) -> None:
        """Keep other processes out until `release` or the end of this process.

        Raises:
            UserError: another process is writing here, or the directory cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._lock.is_locked:
                self._lock.acquire(timeout=0)
                _held.append(self._lock)
            for path in self.path.iterdir():
                if is_partial(path.name):
                    path.unlink()
        except Timeout:
            raise UserError(f"output_dir={self.path}: another process is writing there") from None
        except OSError as error:
            if is_wrong_place(error):
                raise UserError(f"output_dir={self.path}: cannot be written: {error.strerror}") from None
            raise

    def release(self) -> None:
        """Unlock the directory and remove the lock file."""
        if self._lock.is_locked:
            with suppress(OSError):  # a lost file system; the end of the process unlocks it
                (self.path / ".lock").unlink(missing_ok=True)
                self._lock.release(force=True)

    def open_for(self, command: str) -> None:
        """Lock the directory for a command, which may replace only files that it wrote itself.

        Raises:
            UserError: the directory holds files that this command did not write.
        """
        self.lock()
        names = {entry.name for entry in self.path.iterdir()} - {".lock"}
        if names and f"{command}.log" not in names:
            self.release()
            raise UserError(f"output_dir={self.path}: holds files that are not of {command}.py; choose a new directory")


_held: list[FileLock] = []  # keeps each lock until the process ends, also when its directory object is gone


class RunDirectory(OutputDirectory):
    """The directory of a run of ``train.py`` or ``update.py``; docs/files.md lists its files."""

    _began = _earlier = 0.0  # seconds: the start of this process, and the computing time of earlier ones
    best = property(lambda self: self.path / "checkpoints" / "best.ckpt")
    last = property(lambda self: self.path / "checkpoints" / "last.ckpt")
    evaluation = property(lambda self: self.path / "checkpoints" / "evaluation")  # states of fits, until DONE
    fits = property(lambda self: self.path / "checkpoints" / "fits")  # results of fits trained elsewhere, until DONE

    def open(self, cfg: TrainConfig | UpdateConfig) -> str:
        """Lock the directory and return its state: ``new``, ``resume`` (same config, unfinished) or ``done``.

        Raises:
            UserError: it holds a run of another config, a result.json that cannot be read, or other files.
        """
        try:
            if not (self.path / "DONE").is_file():
                self.lock()
            return self._state(cfg)
        except OSError as error:
            self.release()
            if is_wrong_place(error):
                raise UserError(f"output_dir={self.path}: cannot be used: {error.strerror}") from None
            raise
        except UserError:
            self.release()
            raise

    def _state(self, cfg: TrainConfig | UpdateConfig) -> str:
        names = {entry.name for entry in self.path.iterdir() if not is_partial(entry.name)}
        is_same = read_config_hash(self.path) == config_hash(cfg)
        if RESULT in names and "DONE" not in names and is_same:
            self._set_aside_unreadable_result()
        if not (self.path / RESULT).is_file():
            if names - BEFORE_RESULT and not is_same:
                raise UserError(f"output_dir={self.path}: holds files but not a run; choose a new directory")
            return "new"
        result = self.result()
        if result.config_hash != config_hash(cfg):
            differences, edits = list_differences(result.config, cfg), describe_edits(result.code, list_code(cfg))
            if edits and not differences:
                raise UserError(
                    f"output_dir={self.path}: {edits} after this run began; rule: all results of a run are of one "
                    "version of the code; choose a new directory, or undo the edit"
                )
            differences += [edits] * bool(edits)
            raise UserError(
                f"output_dir={self.path}: holds a run of another configuration "
                f"({'; '.join(differences) or f'the content of {_FILES} differs'}); "
                f"{self._how_to_go_on(result)}"
            )
        if "DONE" in names:
            return "done"
        return "resume" if self.last.is_file() else "new"

    def _how_to_go_on(self, result: RunResult) -> str:
        """Return what to do where the directory holds a run of another configuration."""
        if (self.path / "DONE").is_file():
            return "choose a new directory"
        reason = result.verdict.removeprefix(f"{INCOMPLETE}: ")
        return (
            f"that run is not finished ({result.status}: {reason}); choose a new directory, or remove this one if that "
            "run is not needed"
        )

    def _set_aside_unreadable_result(self) -> None:
        try:
            self.result()
        except OtherVersion:  # it is whole, and refused when the run is opened
            return
        except UserError as error:
            log.warning("%s; it is now %s, and the run begins again", error, set_aside(self.path / RESULT).name)

    def result(self) -> RunResult:
        """Return the content of result.json.

        Raises:
            UserError: it is missing, damaged, or of another version of hemexp.
        """
        return read_result(self.path / RESULT, RunResult)

    def begin(self, result: RunResult, resume: bool, earlier: float = 0.0) -> None:
        """Write result.json with the status ``running``, which stays there if the process is killed.

        Args:
            result: known before the training.
            resume: whether result.json is of an earlier process.
            earlier: seconds that fits of a new run took elsewhere.
        """
        self._began = time.perf_counter()
        self._earlier = self.result().seconds if resume else earlier
        (self.path / "FAILED").unlink(missing_ok=True)
        write_text(self.path / CONFIG_HASH, f"{result.config_hash}\n")
        self._write(result)

    def finish(self, result: RunResult) -> RunResult:
        """Write the complete result.json, then DONE; return the result with its status and time.

        Raises:
            OSError: the directory was removed while the run was writing, so that files are missing.
        """
        if not self._is_still_there():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        result = self._write(replace(result, status="done"))
        write_text(self.path / "DONE", f"{result.verdict}\n")
        self.release()
        return result

    def fail(self, status: str, reason: str) -> None:
        """Record an unfinished end in result.json, if there is one, then write FAILED; on a full disk, do nothing."""
        if (self.path / "DONE").is_file():
            return  # the failure came after the end of the run
        with suppress(OSError):
            if self._is_still_there():
                with suppress(UserError):  # a missing or damaged result.json stays as it is
                    self._write(replace(self.result(), status=status, verdict=f"{INCOMPLETE}: {reason}"))
                write_text(self.path / "FAILED", f"{reason}\n")
        self.release()

    def _is_still_there(self) -> bool:
        """Whether the directory is the one that this process locked, not one that was made after its removal."""
        return not self._lock.is_locked or (self.path / ".lock").is_file()

    def _write(self, result: RunResult) -> RunResult:
        if self._began:
            result = replace(result, seconds=round(self._earlier + time.perf_counter() - self._began, 2))
        write_result(result, self.path / RESULT)
        return result


def read_config_hash(directory: Path) -> str:
    """Return the configuration hash that a run wrote before its result.json; empty where there is none."""
    try:
        return (directory / CONFIG_HASH).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
