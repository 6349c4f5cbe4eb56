"""Directories on disk: who may write where, what a run leaves, and whether it is finished.

The files are the interface: other programs read them, nothing else is shared.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hemexp.config import TrainConfig, config_hash, list_differences
from hemexp.errors import UserError
from hemexp.files.writing import write_json, write_text

# what a run leaves that ended before its result.json, or was trained in a batch before its own beginning
BEFORE_RESULT = {".hydra", ".lock", "train.log", "FAILED", "checkpoints"}


class OutputDirectory:
    """A directory that one process writes to."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = FileLock(self.path.resolve() / ".lock", is_singleton=True)  # one a process and path

    def lock(self) -> None:
        """Keep every other process out until `release` or the end of this one.

        Raises:
            UserError: another process is writing here, or the path is no directory that can be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._lock.is_locked:
                self._lock.acquire(timeout=0)
                _held.append(self._lock)
        except Timeout:
            raise UserError(f"output_dir={self.path}: another process is writing there") from None
        except OSError as error:
            raise UserError(f"output_dir={self.path}: cannot be written: {error.strerror}") from None

    def release(self) -> None:
        """Let others in, and leave no trace."""
        if self._lock.is_locked:
            (self.path / ".lock").unlink(missing_ok=True)
            self._lock.release(force=True)

    def open_for(self, command: str) -> None:
        """Lock the directory for a command whose own earlier files may be replaced, and nobody else's.

        Raises:
            UserError: it holds something that this command did not write.
        """
        self.lock()
        names = {entry.name for entry in self.path.iterdir()} - {".lock"}
        if names and f"{command}.log" not in names:
            self.release()
            raise UserError(f"output_dir={self.path}: holds files that are not of {command}.py; choose a new directory")


_held: list[FileLock] = []  # a lock lives as long as its process, whoever forgets the directory object


class RunDirectory(OutputDirectory):
    """What ``train.py`` leaves; see the README for the files."""

    _began = _earlier = 0.0  # seconds: when this process began, and what earlier ones took
    best = property(lambda self: self.path / "checkpoints" / "best.ckpt")
    last = property(lambda self: self.path / "checkpoints" / "last.ckpt")

    def open(self, cfg: TrainConfig) -> str:
        """Lock the directory and say what is in it: ``new``, ``resume`` (same config, unfinished) or ``done``.

        Raises:
            UserError: it holds another config's run, or files that are no run's.
        """
        try:
            if not (self.path / "DONE").is_file():
                self.lock()
            return self._state(cfg)
        except OSError as error:
            raise UserError(f"output_dir={self.path}: cannot be used: {error.strerror}") from None
        except UserError:
            self.release()
            raise

    def _state(self, cfg: TrainConfig) -> str:
        names = {entry.name for entry in self.path.iterdir()}
        if not (self.path / "result.json").is_file():
            if names - BEFORE_RESULT:
                raise UserError(f"output_dir={self.path}: is not empty and holds no run; choose a new directory")
            return "new"
        result = self.result()
        if result.get("config_hash") != config_hash(cfg):
            differs = list_differences(result.get("config", {}), cfg)
            raise UserError(
                f"output_dir={self.path}: holds a run of another configuration ({'; '.join(differs) or 'unknown'}); "
                "choose a new directory"
            )
        if "DONE" in names:
            return "done"
        return "resume" if self.last.is_file() else "new"

    def result(self) -> dict[str, Any]:
        """Return the content of result.json.

        Raises:
            UserError: there is none, or it is no JSON.
        """
        path = self.path / "result.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as a run's result: {error}") from None
        if not isinstance(content, dict):
            raise UserError(f"{path}: is not a run's result")
        return content

    def begin(self, cfg: TrainConfig, facts: Mapping[str, Any], resume: bool, earlier: float = 0.0) -> None:
        """Write result.json as an unfinished run's: should the process die, it says so.

        Args:
            cfg: of the run.
            facts: known before it trains.
            resume: whether result.json is of an earlier process.
            earlier: seconds that a new run was trained for before it began, among others.
        """
        self._began = time.perf_counter()
        self._earlier = float(self.result().get("seconds", 0.0)) if resume else earlier
        (self.path / "FAILED").unlink(missing_ok=True)
        self._write("running", "INCOMPLETE: running or killed", {**facts, "config": asdict(cfg)})

    def finish(self, verdict: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Complete result.json and write DONE, last of all; return the result."""
        self._write("done", verdict, {**self.result(), **facts})
        write_text(self.path / "DONE", f"{verdict}\n")
        self.release()
        return self.result()

    def fail(self, status: str, why: str) -> None:
        """Record an unfinished end in result.json (where there is one) and write FAILED, last of all."""
        if (self.path / "DONE").is_file():
            return  # what failed came after the run, such as a closed terminal
        if (self.path / "result.json").is_file():
            self._write(status, f"INCOMPLETE: {why}", self.result())
        write_text(self.path / "FAILED", f"{why}\n")
        self.release()

    def _write(self, status: str, verdict: str, facts: Mapping[str, Any]) -> None:
        seconds = self._earlier + time.perf_counter() - self._began
        timed = {**facts, "seconds": round(seconds, 2)} if self._began else facts
        write_json(self.path / "result.json", {**timed, "status": status, "verdict": verdict})
