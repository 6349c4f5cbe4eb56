"""A sweep at work: its directory, what is running, what befell each job, and what is left at the end."""

import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hemexp.config import TrainConfig
from hemexp.errors import UserError
from hemexp.files.writing import write_csv, write_json
from hemexp.sweep.backends.base import Backend, Beat, Ended, Task
from hemexp.sweep.backends.devices import build_backend, check_place
from hemexp.sweep.directory import BATCHES, claim, note_loss, open_sweep, read_result
from hemexp.sweep.plan.cost import could_share, count_epochs, estimate_cost
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.progress import Display, duration, print_leaderboard
from hemexp.sweep.results.leaderboard import DONE, LOST, Fate, Leaderboard, rank
from hemexp.sweep.results.reevaluation import read_reevaluation
from hemexp.sweep.results.summary import (
    LEADERBOARD,
    SWEEP,
    add_to_timeline,
    build_summary,
    devices_in,
    remarks,
    score_line,
    why_no_choice,
)

_RECORD = 30.0  # seconds between two leaderboards while jobs run
_LARGEST_BATCH = 64  # jobs: the training engine cuts them to what a device takes


class Sweep:
    """The jobs of one sweep directory.

    Args:
        directory: new, or of an earlier sweep.
        cfg: any job's; where and how jobs run is the same for all.
        command: as the user typed it, for sweep.json.
        backend: what runs the jobs, if it was started already.

    Raises:
        UserError: the place to run is not there, or the directory is not usable.
    """

    def __init__(
        self, directory: Path, cfg: TrainConfig, command: Sequence[str], backend: Backend | None = None
    ) -> None:
        check_place(cfg)
        self.directory, self.cfg, self.command = directory, cfg, list(command)
        self._lock = open_sweep(directory)
        self.jobs: list[SweepJob] = []
        self.fates: dict[int, Fate] = {}
        self.num_skipped = 0
        self.stopped = False
        self._timeline: list[Ended] = []
        self._devices = devices_in(directory)
        self._running: set[int] = set()
        self._began = self._recorded = time.monotonic()
        self.backend: Backend = backend or build_backend(cfg, directory)
        self.display = Display({}, 0, 0)

    def skip(self, jobs: Sequence[SweepJob]) -> None:
        """Take in jobs that ended earlier, each with the status in its result.json."""
        self.num_skipped += len(jobs)
        self.display.num_ended += len(jobs)
        self.display.num_jobs += len(jobs)
        for job in jobs:
            status = str(read_result(job.folder).get("status", DONE))
            self._know(job, Fate(status, device=self._devices.get(job.key, "")))

    def refuse(self, job: SweepJob, why: str) -> None:
        """Take in a job of a search whose configuration breaks a rule: it has failed before it could begin."""
        self._know(job, Fate("failed", why))
        self.display.num_jobs += 1
        self.display.add(job.number, 0)
        self.display.ended(job.number, job.title, "failed", why)

    def start(self, jobs: Sequence[SweepJob], among: Sequence[SweepJob] = ()) -> None:
        """Claim the folders of jobs, and have them run; those of equal shape are trained together where that pays.

        Args:
            jobs: not done yet.
            among: all of the sweep: who is trained with whom does not depend on who is done, so that a batch that was
                interrupted is found again.
        """
        for job in jobs:
            claim(job)
            self._know(job, Fate())
            self._running.add(job.number)
            self.display.add(job.number, count_epochs(job.cfg))
        self.display.num_jobs += len(jobs)
        self._record("running")
        batches = self._batches(jobs, among)
        together = {job.number for batch in batches for job in batch.jobs}
        alone = [_task(job) for job in jobs if job.number not in together]
        self.backend.submit([*batches, *alone])

    def _know(self, job: SweepJob, fate: Fate) -> None:
        self.jobs.append(job)
        self.fates[job.number] = fate

    def _batches(self, waiting: Sequence[SweepJob], among: Sequence[SweepJob]) -> list[Task]:
        if not getattr(self.cfg.where, "batch", False):
            return []
        alike: dict[str, list[SweepJob]] = {}
        for job in among or waiting:
            if shape := could_share(job.cfg):
                alike.setdefault(shape, []).append(job)
        cuts = -(-self.backend.capacity // max(1, len(alike)))  # so many of each shape that nobody is idle
        batches = []
        for group in alike.values():
            size = min(_LARGEST_BATCH, -(-len(group) // cuts))
            for start in range(0, len(group), size):
                part = tuple(job for job in group[start : start + size] if job in waiting)
                if len(part) > 1:
                    batches.append(Task("batch", part, sum(estimate_cost(job.cfg) for job in part)))
        return batches

    @property
    def num_running(self) -> int:
        """How many jobs were started and have not ended."""
        return len(self._running)

    def run(self, jobs: Sequence[SweepJob], among: Sequence[SweepJob] = ()) -> None:
        """Start jobs, and wait until all have ended; see `start` and `at_work`."""
        with self.at_work():
            self.start(jobs, among)
            while self.num_running:
                for event in self.backend.wait(1.0):
                    self.handle(event)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Show progress; a Ctrl-C within lets what runs save its state, a second one ends it at once."""
        previous = {number: signal.signal(number, _as_interrupt) for number in ending_signals()}
        try:
            with self.display:
                yield
        except KeyboardInterrupt:
            self._stop()
        except BaseException:
            self.backend.close()
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        self.stopped = self.display.stopping = True
        self.display.say("stopping: jobs save what they have (Ctrl-C now ends them at once)")
        try:
            self.backend.stop()
            while any(self.fates[number].status == "missing" for number in self._running):
                events = self.backend.wait(1.0)
                for event in events:
                    self.handle(event)
                if not events and self.backend.idle:
                    break
        except KeyboardInterrupt:
            pass
        self.backend.close()

    def handle(self, event: Ended | Beat) -> None:
        """Take note of what happened to a task, and tell the user where it is the end of a job."""
        numbers = tuple(job.number for job in event.task.jobs)
        if isinstance(event, Beat):
            self.display.beat(numbers, event.epochs)
            return
        self._timeline.append(event)
        if event.task.kind == "job":
            self._end_job(event)
        elif event.task.kind == "batch":
            if event.outcome in LOST:
                which = ", ".join(map(str, numbers))
                self.display.say(f"jobs {which} were not trained together ({event.message}); each trains by itself")
            if not self.stopped:
                self.backend.submit([_task(job) for job in event.task.jobs])
            elif event.outcome == "interrupted":
                for job in event.task.jobs:
                    self.fates[job.number] = Fate("interrupted", f"trained with others, {event.message or 'saved'}")
        elif event.outcome != DONE:
            self.display.say(f"the best job was not evaluated on fresh folds: {event.message or event.outcome}")

    def _end_job(self, event: Ended) -> None:
        (job,) = event.task.jobs
        outcome, message = event.outcome, event.message
        if outcome == DONE and not (job.folder / "DONE").is_file():
            outcome, message = "failed", "it ended without DONE"
        if outcome in LOST and (outcome != "failed" or not (job.folder / "FAILED").is_file()):
            note_loss(job, outcome, message)
        self.fates[job.number] = Fate(outcome, message, event.device)
        self._running.discard(job.number)
        if time.monotonic() - self._recorded > _RECORD:
            self._record("running")
        words = score_line(job, self.cfg.search.score) if outcome == DONE else message or "it goes on another time"
        if outcome in LOST:
            words += f" (log: {job.folder / 'train.log'})"
        self.display.ended(job.number, job.title, outcome, words)

    def finish(self, extra: Mapping[str, Any] | None = None) -> bool:
        """Write leaderboard.csv and sweep.json, and print the ranking.

        Args:
            extra: more entries of sweep.json; ``notes`` among them is printed: lines to stand beside the ranking.

        Returns:
            Whether every job was done.
        """
        more = dict(extra or {})
        notes = list(more.pop("notes", []))
        board, _ = self._record("running", more)
        try:
            self._evaluate_best_afresh(board)
        except (RuntimeError, UserError) as error:  # the jobs are done, whatever becomes of this
            self.display.say(f"the best job was not evaluated on fresh folds: {error}")
        self.backend.close()
        add_to_timeline(self.directory, self._timeline)
        counts = Counter(fate.status for fate in self.fates.values())
        lost = [job for job in self.jobs if self.fates[job.number].status not in {DONE, "pruned"}]
        if not lost:
            shutil.rmtree(self.directory / BATCHES, ignore_errors=True)
        status = "interrupted" if self.stopped else "failed" if lost else DONE
        board, content = self._record(status, more)
        best = read_result(self.directory / board.winner["folder"]) if board.winner else {}
        print_leaderboard(board, [*remarks(self.jobs, board, content, best), *notes])
        for job in lost:
            fate = self.fates[job.number]
            print(f"{fate.status}: {job.title}{f': {fate.message}' if fate.message else ''}")
        told = ", ".join(f"{number} {name}" for name, number in counts.items())
        print(f"{len(self.jobs)} jobs: {told}; {duration(content['seconds'])}; {self.directory / 'leaderboard.csv'}")
        if lost:
            print(f"the same command with hydra.sweep.dir={self.directory} runs only what is not done")
        print(f"report.py sweep_dir={self.directory} writes a page of it")
        self._lock.release()
        return not lost and not self.stopped

    def _evaluate_best_afresh(self, board: Leaderboard) -> None:
        """Have the winner cross-validated on other folds: the best of many is too good on those that chose it."""
        best = board.winner
        by_folds = (board.ranked_by or "").startswith("cv/") and self.cfg.search.name == "grid"
        ranked = [row for row in board.rows if row["rank"]]
        if best is None or not by_folds or len(ranked) < 2 or self.stopped or why_no_choice(self.jobs, board):
            return
        if read_reevaluation(self.directory, read_result(self.directory / best["folder"])) is not None:
            return
        job = next(job for job in self.jobs if job.number == best["job"])
        self.display.say(f"the best, {job.title}, once more on fresh folds")
        task, ended = Task("fresh", (job,)), False
        self.backend.submit([task])
        with self.at_work():
            while not ended:
                for event in self.backend.wait(1.0):
                    self.handle(event)
                    ended = ended or isinstance(event, Ended)

    def _record(self, status: str, extra: Mapping[str, Any] | None = None) -> tuple[Leaderboard, dict[str, Any]]:
        """Write leaderboard.csv and sweep.json as things stand; return both."""
        self._recorded = time.monotonic()
        search = self.cfg.search
        board = rank(self.jobs, self.fates, search.score, hide_test=search.name != "grid")
        if board.rows:
            write_csv(board.table(), self.directory / LEADERBOARD)
        content = {
            "status": status,
            "command": self.command,
            **build_summary(self.cfg, self.jobs, board, self.directory),
            "counts": dict(Counter(fate.status for fate in self.fates.values())),
            "skipped": self.num_skipped,
            "seconds": round(time.monotonic() - self._began, 2),
            **(extra or {}),
        }
        write_json(self.directory / SWEEP, content)
        return board, content


def _task(job: SweepJob) -> Task:
    return Task("job", (job,), estimate_cost(job.cfg))


def ending_signals() -> list[int]:
    """Return the signals that end a sweep as Ctrl-C does; a closed terminal does not where ``nohup`` has it ignored."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        return [signal.SIGTERM, signal.SIGHUP]
    return [signal.SIGTERM]


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def command_line() -> list[str]:
    """Return the command as the user typed it, for the record."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
