"""Run the jobs of a sweep and write its summary files."""

import pickle
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hemexp.config import ClusterConfig, TrainConfig
from hemexp.errors import UserError
from hemexp.files.writing import write_csv, write_json
from hemexp.formatting import format_duration, program
from hemexp.process import describe_error, get_ending_signals, interrupt_on
from hemexp.sweep.backends.base import BATCHES, Heartbeat, ItemResult, WorkItem
from hemexp.sweep.backends.devices import Backend, build_backend, check_backend
from hemexp.sweep.batches import build_items
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
from hemexp.sweep.plan.cost import NEW_FOLDS, count_epochs, estimate_cost
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.progress import ProgressDisplay, print_leaderboard
from hemexp.sweep.results.job_result import DONE, LOST, JobScores, JobStatus, load_result
from hemexp.sweep.results.leaderboard import Leaderboard, rank
from hemexp.sweep.results.reevaluation import read_reevaluation
from hemexp.sweep.results.summary import build_notes, build_summary, find_incomparable, format_score

_FINISH_INTERVAL = 60.0  # seconds that a job waits at most for others to finish with, while all processes train
_SUMMARY_INTERVAL = 30.0  # seconds between two updates of the summary files while jobs run


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
        self._waiting: list[tuple[WorkItem, list[WorkItem]]] = []  # items that wait for the fits of their job
        self._outcomes: dict[str, str] = {}  # of the items of fits, by name; "missing" for one that has not ended
        self._last_finish = time.monotonic()  # when jobs were last submitted to finish
        self._cohorts: dict[str, bytes] = {}
        self._ended: dict[int, JobScores | None] = {}
        self._summarized = time.monotonic()
        self._began = self._summarized if began is None else began
        self.backend: Backend = backend or build_backend(cfg, directory)
        self.display = ProgressDisplay()

    def add_earlier(self, jobs: Sequence[SweepJob]) -> list[SweepJob]:
        """Add those jobs that break a rule or have ended in an earlier start. Return the other jobs."""
        valid, devices = self.add_invalid(jobs), read_devices(self.directory)
        unfinished = reconcile(self.directory, valid)
        numbers = {job.number for job in unfinished}
        for job in valid:
            if job.number not in numbers:
                self.num_skipped += 1
                self.display.add_job(job.number, 0, has_ended=True)
                result = load_result(job.directory)
                status = DONE if result is None else result.status
                self._add(job, JobStatus(status, device=devices.get(job.config_hash, "")))
        return unfinished

    def add_invalid(self, jobs: Sequence[SweepJob]) -> list[SweepJob]:
        """Add those jobs that break a rule: they have failed without a start. Return the other jobs."""
        for job in jobs:
            if job.invalid:
                self._add(job, JobStatus("failed", job.invalid))
                self.display.add_job(job.number, 0)
                self.display.end_job(job.number, job.title, "failed", job.invalid)
        return [job for job in jobs if not job.invalid]

    def start(self, jobs: Sequence[SweepJob], all_jobs: Sequence[SweepJob] = ()) -> None:
        """Create the directories of jobs and submit the jobs; the fits of all jobs are trained together.

        Args:
            jobs: the jobs that are not done.
            all_jobs: all jobs of the sweep. The work items depend on these, not on the jobs that are done, so that
                interrupted items can be continued. By default each job trains its fits itself.
        """
        for job in jobs:
            create_run_dir(job)
            self._add(job, JobStatus())
            self.display.add_job(job.number, count_epochs(job.cfg))
        self.display.draw()
        self._write_summary("running")
        fits = build_items([job for job in all_jobs if not job.invalid], self.backend.capacity)
        self._submit(jobs, fits)

    def _submit(self, jobs: Sequence[SweepJob], fits: Sequence[WorkItem], kind: str = "job") -> None:
        """Submit the fits that no earlier start has trained, and an item for each job when its fits have ended."""
        needed: dict[int, list[WorkItem]] = {job.number: [] for job in jobs}
        to_train: dict[str, WorkItem] = {}
        for each in fits:
            for job in each.jobs:
                if job.number in needed:
                    needed[job.number].append(each)
                    if not each.get_result_path(job).is_file():
                        to_train[each.name] = each
        for job in jobs:
            item = WorkItem(kind, (job,), estimate_cost(job.cfg), cohort=self._read_cohort(job))
            self._waiting.append((item, needed[job.number]))
        self._outcomes |= dict.fromkeys(to_train, "missing")
        self.backend.submit([replace(each, cohort=self._read_cohort(each.jobs[0])) for each in to_train.values()])
        self._submit_ready()

    def _submit_ready(self) -> None:
        """Submit the items whose fits have ended.

        Jobs that only have to finish share processes. While every process has fits to train, they wait for each other.
        """
        in_training = sum(outcome == "missing" for outcome in self._outcomes.values())
        all_train = self.backend.trains_and_finishes and in_training >= self.backend.capacity
        may_finish = not all_train or time.monotonic() - self._last_finish > _FINISH_INTERVAL
        waiting, finishing, others = list[tuple[WorkItem, list[WorkItem]]](), list[WorkItem](), list[WorkItem]()
        for item, fits in self._waiting:
            outcomes = {self._outcomes.get(each.name, DONE) for each in fits}  # done: by an earlier start
            is_trained = outcomes == {DONE}
            only_finishes = is_trained and item.kind == "job"
            if "missing" in outcomes or (only_finishes and not may_finish):
                waiting.append((item, fits))
            else:
                chosen = finishing if only_finishes else others
                chosen.append(replace(item, on_device=not is_trained))
        self._waiting = waiting
        if finishing:
            self._last_finish = time.monotonic()
        some_train = self.backend.trains_and_finishes and in_training > 0  # then smaller parts suit what is left
        parts = min(len(finishing), 1 if all_train else (2 if some_train else 1) * self.backend.num_finishers)
        chunks = [finishing[part::parts] for part in range(parts)]
        jobs = [replace(chunk[0], kind="jobs", jobs=tuple(item.jobs[0] for item in chunk)) for chunk in chunks]
        self.backend.submit([*others, *jobs])

    def _read_cohort(self, job: SweepJob) -> bytes:
        """Return the pickled cohort of a job that runs on this machine; empty where it is not known."""
        if isinstance(self.cfg.where, ClusterConfig):
            return b""  # its machine reads the files; no patient's values are written for it
        data, key_file = job.cfg.data, job.cfg.privacy.pseudonymize
        key = repr((data, key_file))
        if key not in self._cohorts:
            from hemexp.cohort.load import last_in_memory, load_cohort

            self._cohorts[key] = b""
            with suppress(Exception):  # the job meets the same error, and reports it
                load_cohort(data, key_file=key_file)
                self._cohorts[key] = pickle.dumps(last_in_memory())
        return self._cohorts[key]

    def _add(self, job: SweepJob, status: JobStatus) -> None:
        self.jobs.append(job)
        self.statuses[job.number] = status

    @property
    def num_running(self) -> int:
        """The number of jobs that were started and have not ended."""
        return sum(status.status == "missing" for status in self.statuses.values())

    def run_all(self, jobs: Sequence[SweepJob]) -> None:
        """Run the jobs of a sweep that are not done, and wait until all have ended."""
        unfinished = self.add_earlier(jobs)
        finished = [str(job.number) for job in self.jobs if not job.invalid]
        parallel = f", {min(self.backend.capacity, len(unfinished))} at once" if unfinished else ""
        skipped = f"{len(finished)} done already and skipped (job {', '.join(finished)}), " if finished else ""
        count = len(finished) + len(unfinished)
        self.display.print(f"{count} jobs into {self.directory}: {skipped}{len(unfinished)} to run{parallel}")
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
            while not self.backend.idle:
                self.handle_events()
        for item, fits in self._waiting:
            if item.kind == "job" and all(self._outcomes.get(each.name, DONE) == DONE for each in fits):
                self.statuses[item.jobs[0].number] = JobStatus("interrupted", "its fits are saved")
        self.backend.close()

    def handle_events(self) -> None:
        """Wait at most a second for events of the backend, record them, and print the ends of jobs."""
        for event in self.backend.wait(1.0):
            if isinstance(event, Heartbeat):
                shares = {each.job: each.stop - each.start for each in event.item.ranges}
                self.display.add_epochs(shares or {event.item.jobs[0].number: 1}, event.epochs)
            else:
                self._item_results.append(event)
                self._end_item(event)
        if self._waiting and not self.stopped:
            self._submit_ready()

    def _end_item(self, event: ItemResult) -> None:
        if event.item.kind == "job":
            self._end_job(event)
        elif event.item.kind == "fits":
            self._end_fits(event)
        elif event.item.kind == "jobs":
            self._end_jobs(event)
        elif event.outcome != DONE:
            self._print_not_reevaluated(event.message or event.outcome)

    def _print_not_reevaluated(self, reason: str) -> None:
        self.display.print(f"the best job was not evaluated on new folds: {reason}")

    def _end_fits(self, result: ItemResult) -> None:
        """Submit the jobs whose fits have all ended.

        If fits of several jobs are lost, each job trains its fits itself: the job that is the reason then fails alone.
        """
        self._outcomes[result.item.name] = result.outcome
        numbers = [job.number for job in result.item.jobs]
        if result.outcome in LOST and len(numbers) == 1:
            self._waiting = [each for each in self._waiting if each[0].jobs[0].number != numbers[0]]
            if result.item.ranges[0].stage == NEW_FOLDS:
                self._print_not_reevaluated(result.message)
            elif self.statuses[numbers[0]].status == "missing":
                self._end_job(result)
            return
        if self.stopped:
            self._interrupt_jobs(result)
            return
        if result.outcome in LOST:
            names = ", ".join(map(str, numbers))
            self.display.print(f"fits of jobs {names} were lost ({result.message}); each job trains its own fits")
        for number in numbers:
            if self.statuses[number].status == "missing":
                self.statuses[number].device = result.device
        self._submit_ready()

    def _end_jobs(self, result: ItemResult) -> None:
        """Record the jobs that are done. The others run again, each in its own process, which shows how they end."""
        for job in result.item.jobs:
            item = replace(result.item, kind="job", jobs=(job,))
            if (job.directory / "DONE").is_file():
                self._end_job(replace(result, item=item, outcome=DONE, message=""))
            elif not self.stopped:
                self.backend.submit([item])
        if self.stopped:
            self._interrupt_jobs(result)

    def _interrupt_jobs(self, result: ItemResult) -> None:
        """Mark the jobs of an item that have not ended as interrupted."""
        for job in result.item.jobs:
            if self.statuses[job.number].status == "missing":
                self.statuses[job.number] = JobStatus("interrupted", result.message or "its fits are saved")

    def _end_job(self, result: ItemResult) -> None:
        (job,) = result.item.jobs
        outcome, message = result.outcome, result.message
        if outcome == DONE and not (job.directory / "DONE").is_file():
            outcome, message = "failed", "the job ended without writing DONE"
        if outcome in LOST and (outcome != "failed" or not (job.directory / "FAILED").is_file()):
            record_failure(job, message)
        device = result.device if result.item.on_device else self.statuses[job.number].device
        self.statuses[job.number] = JobStatus(outcome, message, device)
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
            self._print_not_reevaluated(str(error))
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
        count = job.cfg.evaluation.num_folds * job.cfg.evaluation.num_repeats
        self._submit([job], build_items([job], self.backend.capacity, {NEW_FOLDS: count}), "reevaluation")
        with self.in_progress():
            while self._waiting or not self.backend.idle:
                self.handle_events()

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
            "command": [*shlex.split(program("train")), *sys.argv[1:]],
            **build_summary(self.cfg, self.jobs, board, self.directory),
            "nested": nested,
            "counts": dict(Counter(job_status.status for job_status in self.statuses.values())),
            "skipped": self.num_skipped,
            "seconds": round(time.monotonic() - self._began, 2),
        }
        write_json(self.directory / SUMMARY, summary)
        return board, summary
