"""Run the jobs of a sweep and write its summary files."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hemexp.config import TrainConfig
from hemexp.errors import UserError
from hemexp.files.writing import write_csv, write_json
from hemexp.formatting import program
from hemexp.process import describe_error, get_ending_signals, interrupt_on
from hemexp.sweep.backends.base import BATCHES, Backend, Heartbeat, ItemResult, WorkItem
from hemexp.sweep.backends.devices import build_backend, check_backend
from hemexp.sweep.directory import (
    LEADERBOARD,
    SUMMARY,
    append_timeline,
    create_run_dir,
    open_sweep,
    read_devices,
    reconcile,
    record_failure,
)
from hemexp.sweep.plan.cost import count_epochs, estimate_cost, get_batch_key
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.progress import ProgressDisplay, print_leaderboard
from hemexp.sweep.results.job_result import DONE, LOST, JobScores, JobStatus, load_result
from hemexp.sweep.results.leaderboard import Leaderboard, rank
from hemexp.sweep.results.reevaluation import read_reevaluation
from hemexp.sweep.results.summary import build_notes, build_summary, find_incomparable, format_duration, format_score

_SUMMARY_INTERVAL = 30.0  # seconds between two updates of the summary files while jobs run
_MAX_BATCH = 64  # jobs; the training divides a batch further where a device needs it


class Sweep:
    """The jobs of one sweep directory.

    Args:
        directory: new, or of an earlier sweep.
        cfg: configuration of any job; the backend is the same for all jobs.
        backend: a backend that was started already.
        began: when the check of the jobs began, as `time.monotonic` gives it; the seconds of the sweep count from it.

    Raises:
        UserError: the backend is not available, or the directory cannot be used.
    """

    def __init__(
        self, directory: Path, cfg: TrainConfig, backend: Backend | None = None, began: float | None = None
    ) -> None:
        check_backend(cfg)
        self.directory, self.cfg = directory, cfg
        self._lock = open_sweep(directory)
        self.jobs: list[SweepJob] = []
        self.statuses: dict[int, JobStatus] = {}
        self.num_skipped = 0
        self.stopped = False
        self._item_results: list[ItemResult] = []
        self._ended: dict[int, JobScores | None] = {}
        self._devices = read_devices(directory)
        self._summarized = time.monotonic()
        self._began = self._summarized if began is None else began
        self.backend: Backend = backend or build_backend(cfg, directory)
        self.display = ProgressDisplay()

    def add_finished(self, jobs: Sequence[SweepJob]) -> None:
        """Add jobs that ended in an earlier start, each with the status in its result.json."""
        self.num_skipped += len(jobs)
        for job in jobs:
            self.display.add_finished(job.number)
            result = load_result(job.directory)
            status = DONE if result is None else result.status
            self._add(job, JobStatus(status, device=self._devices.get(job.config_hash, "")))

    def add_invalid(self, jobs: Sequence[SweepJob]) -> list[SweepJob]:
        """Add those jobs that break a rule: they have failed without a start. Return the other jobs."""
        for job in jobs:
            if job.invalid:
                self._add(job, JobStatus("failed", job.invalid))
                self.display.add_job(job.number, 0)
                self.display.end_job(job.number, job.title, "failed", job.invalid)
        return [job for job in jobs if not job.invalid]

    def start(self, jobs: Sequence[SweepJob], all_jobs: Sequence[SweepJob] = ()) -> None:
        """Create the directories of jobs and submit the jobs; jobs of equal shape are trained in batches.

        Args:
            jobs: the jobs that are not done.
            all_jobs: all jobs of the sweep. The batches depend on these, not on the jobs that are done, so that an
                interrupted batch can be continued.
        """
        for job in jobs:
            create_run_dir(job)
            self._add(job, JobStatus())
            self.display.add_job(job.number, count_epochs(job.cfg))
        self._write_summary("running")
        batches = self._build_batches(jobs, all_jobs)
        batched = {job.number for batch in batches for job in batch.jobs}
        self.backend.submit([*batches, *(_build_item(job) for job in jobs if job.number not in batched)])

    def _add(self, job: SweepJob, status: JobStatus) -> None:
        self.jobs.append(job)
        self.statuses[job.number] = status

    def _build_batches(self, jobs: Sequence[SweepJob], all_jobs: Sequence[SweepJob]) -> list[WorkItem]:
        if not getattr(self.cfg.where, "batch", False):
            return []
        groups: dict[str, list[SweepJob]] = {}
        for job in all_jobs or jobs:
            if key := get_batch_key(job.cfg):
                groups.setdefault(key, []).append(job)
        num_parts = -(-self.backend.capacity // max(1, len(groups)))  # parts of each group, so that no worker is idle
        batches = []
        for group in groups.values():
            size = min(_MAX_BATCH, -(-len(group) // num_parts))
            for start in range(0, len(group), size):
                part = tuple(job for job in group[start : start + size] if job in jobs)
                if len(part) > 1:
                    batches.append(WorkItem("batch", part, sum(estimate_cost(job.cfg) for job in part)))
        return batches

    @property
    def num_running(self) -> int:
        """The number of jobs that were started and have not ended."""
        return sum(status.status == "missing" for status in self.statuses.values())

    def run_all(self, jobs: Sequence[SweepJob]) -> None:
        """Run the jobs of a sweep that are not done, and wait until all have ended."""
        unfinished = reconcile(self.directory, jobs)
        numbers = {job.number for job in unfinished}
        finished = [job for job in jobs if job.number not in numbers]
        self.add_finished(finished)
        parallel = f", {min(self.backend.capacity, len(unfinished))} at once" if unfinished else ""
        names = ", ".join(str(job.number) for job in finished)
        skipped = f"{len(finished)} done already and skipped (job {names}), " if finished else ""
        self.display.print(f"{len(jobs)} jobs into {self.directory}: {skipped}{len(unfinished)} to run{parallel}")
        with self.in_progress():
            self.start(unfinished, jobs)
            while self.num_running:
                self.handle_events()

    @contextmanager
    def in_progress(self) -> Iterator[None]:
        """Show progress. A first Ctrl-C lets running jobs save their state; a second one ends them at once."""
        with interrupt_on(get_ending_signals()):
            try:
                with self.display:
                    yield
            except KeyboardInterrupt:
                self._stop()
            except BaseException:
                self.backend.close()
                raise

    def _stop(self) -> None:
        self.stopped = self.display.stopping = True
        self.display.print("stopping: running jobs save their state (press Ctrl-C again to end them at once)")
        with suppress(KeyboardInterrupt):
            self.backend.stop()
            while self.num_running:
                if not self.handle_events() and self.backend.idle:
                    break
        self.backend.close()

    def handle_events(self) -> list[ItemResult | Heartbeat]:
        """Wait at most a second for events of the backend, record them, print the ends of jobs; return the events."""
        events = self.backend.wait(1.0)
        for event in events:
            if isinstance(event, Heartbeat):
                self.display.add_epochs(tuple(job.number for job in event.item.jobs), event.epochs)
            else:
                self._item_results.append(event)
                self._end_item(event)
        return events

    def _end_item(self, event: ItemResult) -> None:
        if event.item.kind == "job":
            self._end_job(event)
        elif event.item.kind == "batch":
            self._end_batch(event)
        elif event.outcome != DONE:
            self.display.print(f"the best job was not evaluated on new folds: {event.message or event.outcome}")

    def _end_batch(self, result: ItemResult) -> None:
        """Submit the jobs of a batch; each finishes its run, or trains alone where the batch failed."""
        jobs = result.item.jobs
        if result.outcome in LOST:
            names = ", ".join(str(job.number) for job in jobs)
            self.display.print(f"jobs {names} were not trained in a batch ({result.message}); each is trained alone")
        if not self.stopped:
            self.backend.submit([_build_item(job) for job in jobs])
        elif result.outcome == "interrupted":
            for job in jobs:
                message = f"trained in a batch, {result.message or 'saved'}"
                self.statuses[job.number] = JobStatus("interrupted", message)

    def _end_job(self, result: ItemResult) -> None:
        (job,) = result.item.jobs
        outcome, message = result.outcome, result.message
        if outcome == DONE and not (job.directory / "DONE").is_file():
            outcome, message = "failed", "the job ended without writing DONE"
        if outcome in LOST and (outcome != "failed" or not (job.directory / "FAILED").is_file()):
            record_failure(job, message)
        self.statuses[job.number] = JobStatus(outcome, message, result.device)
        if time.monotonic() - self._summarized > _SUMMARY_INTERVAL:
            try:
                self._write_summary("running")
            except OSError as error:  # the other jobs go on
                self.display.print(f"leaderboard.csv and sweep.json are not up to date: {describe_error(error)}")
        text = format_score(job, self.cfg.search.score) if outcome == DONE else message or "the next start continues"
        if outcome in LOST:
            text += f" (log: {job.directory / 'train.log'})"
        self.display.end_job(job.number, job.title, outcome, text)

    def finish(self, nested: Mapping[str, Any] | None = None, notes: Sequence[str] = ()) -> bool:
        """Write leaderboard.csv and sweep.json, and print the ranking.

        Args:
            nested: the entry of sweep.json about the test part of a search.
            notes: more lines to print with the ranking.

        Returns:
            Whether every job was done.
        """
        board, _ = self._write_summary("running", nested)
        try:
            self._reevaluate_best(board)
        except (RuntimeError, UserError) as error:  # the results of the jobs are complete without it
            self.display.print(f"the best job was not evaluated on new folds: {error}")
        self.backend.close()
        append_timeline(self.directory, self._item_results)
        unfinished = [job for job in self.jobs if self.statuses[job.number].status not in {DONE, "pruned"}]
        if not unfinished:
            shutil.rmtree(self.directory / BATCHES, ignore_errors=True)
        status = "interrupted" if self.stopped else "failed" if unfinished else DONE
        board, summary = self._write_summary(status, nested)
        print_leaderboard(board, [*build_notes(self.jobs, board, summary), *notes])
        self._print_totals(unfinished, summary)
        self._lock.release()
        return not unfinished and not self.stopped

    def _print_totals(self, unfinished: Sequence[SweepJob], summary: Mapping[str, Any]) -> None:
        for job in unfinished:
            status = self.statuses[job.number]
            print(f"{status.status}: {job.title}{f': {status.message}' if status.message else ''}")
        counts = ", ".join(f"{number} {status}" for status, number in summary["counts"].items())
        duration = format_duration(summary["seconds"])
        print(f"{len(self.jobs)} jobs: {counts}; {duration}; {self.directory / LEADERBOARD}")
        if unfinished:
            print(f"run the same command with hydra.sweep.dir={self.directory} to run only the unfinished jobs")
        print(f"{program('report')} sweep_dir={self.directory} writes a page about this sweep")

    def _reevaluate_best(self, board: Leaderboard) -> None:
        """Cross-validate the winner on new folds: its score on the folds that chose it is too good."""
        best = board.winner
        by_folds = (board.ranked_by or "").startswith("cv/") and self.cfg.search.name == "grid"
        if best is None or not by_folds or len(board.ranked) < 2 or self.stopped or find_incomparable(self.jobs, board):
            return
        job = next(job for job in self.jobs if job.number == best["job"])
        if read_reevaluation(self.directory, load_result(job.directory)) is not None:
            return
        self.display.print(f"evaluating the best job, {job.title}, again on new folds")
        self.backend.submit([WorkItem("reevaluation", (job,))])
        with self.in_progress():
            while not any(isinstance(event, ItemResult) for event in self.handle_events()):
                pass

    def _write_summary(
        self, status: str, nested: Mapping[str, Any] | None = None
    ) -> tuple[Leaderboard, dict[str, Any]]:
        """Write leaderboard.csv and sweep.json for the current state; return the content of both."""
        import pandas as pd

        self._summarized = time.monotonic()
        search = self.cfg.search
        board = rank(self.jobs, self.statuses, search.score, search.name != "grid", self._ended)
        if board.rows:
            write_csv(pd.DataFrame(board.rows), self.directory / LEADERBOARD)
        summary = {
            "status": status,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            **build_summary(self.cfg, self.jobs, board, self.directory),
            "nested": nested,
            "counts": dict(Counter(job_status.status for job_status in self.statuses.values())),
            "skipped": self.num_skipped,
            "seconds": round(time.monotonic() - self._began, 2),
        }
        write_json(self.directory / SUMMARY, summary)
        return board, summary


def _build_item(job: SweepJob) -> WorkItem:
    return WorkItem("job", (job,), estimate_cost(job.cfg))
