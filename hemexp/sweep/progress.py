"""What a user sees of a sweep while it runs: a bar over all jobs, what befell each, and at the end the ranking."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hemexp.formatting import interval_text
from hemexp.sweep.results.leaderboard import DONE, LOST, Leaderboard, Row

_TRAINING = 0.9  # of a job's work: figures and files come after it
_SHOWN = 20  # jobs in the table on the terminal; leaderboard.csv has all


class Display:
    """Progress over all jobs. On a terminal a bar; elsewhere, as in a log, a line a job.

    Args:
        work: epochs that each job is going to train, by its number.
        num_jobs: of the whole sweep, those done earlier included.
        num_done: earlier.
    """

    def __init__(self, work: dict[int, int], num_jobs: int, num_done: int) -> None:
        self.work, self.num_jobs, self.num_ended, self.num_failed = dict(work), num_jobs, num_done, 0
        self._own: dict[int, float] = {}
        self._batched: dict[int, float] = {}
        self._ended: set[int] = set()
        self.stopping = False
        self._first: tuple[float, float] | None = (
            None  # when work was first seen done, and how much: starting up is none
        )
        columns = (
            TextColumn("[bold]{task.fields[jobs]}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        console = Console(file=sys.stderr)
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._bar = self._progress.add_task("", total=1.0, jobs="", left="")
        self._draw()

    def __enter__(self) -> "Display":
        self._draw()
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, job: int, epochs: int) -> None:
        """Count a job in that was not known at first."""
        self.work.setdefault(job, epochs)

    def beat(self, jobs: tuple[int, ...], epochs: int) -> None:
        """Move on by epochs that were trained for these jobs."""
        kept = self._batched if len(jobs) > 1 else self._own
        for job in jobs:
            kept[job] = kept.get(job, 0) + epochs / len(jobs)
        self._draw()

    def ended(self, job: int, title: str, status: str, words: str) -> None:
        """Say how a job ended."""
        self.num_ended += 1
        self._ended.add(job)
        self.num_failed += status in LOST
        self._draw()
        place = f"[{self.num_ended}/{self.num_jobs}] "
        self.say(f"{place}{title}: {words if status == DONE else f'{status.upper()}: {words}'}{self._left('; ')}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        total = sum(self.work.values())
        return sum(map(self._done, self.work)) / total if total else 0.0

    def _done(self, job: int) -> float:
        if job in self._ended:
            return self.work[job]
        return min(_TRAINING * self.work[job], max(self._own.get(job, 0), self._batched.get(job, 0)))

    def _left(self, before: str = "") -> str:
        share, now = self.share, time.monotonic()
        if share > 0 and self._first is None:
            self._first = (now, share)
        if self.stopping or share >= 1 or not self.work:
            return ""
        if self._first is None:
            return "" if before else "starting"
        if share <= self._first[1]:
            return ""
        rate = (share - self._first[1]) / (now - self._first[0])
        return f"{before}about {duration((1 - share) / rate)} left"

    def _draw(self) -> None:
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        jobs = f"{self.num_ended} of {self.num_jobs} jobs{failed}"
        self._progress.update(self._bar, completed=self.share, jobs=jobs, left=self._left())


def duration(seconds: float) -> str:
    """Return a time in print: ``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def print_leaderboard(board: Leaderboard, notes: list[str]) -> None:
    """Print the best jobs, and what must be said beside them."""
    from hemexp.commands.console import print_table

    ranked = [row for row in board.rows if row["rank"]]
    if not ranked:
        print("\n".join(notes))
        return
    by = f"by {board.ranked_by}, {'lower' if board.lower_is_better else 'higher'} is better"
    table = Table(title=f"{len(ranked)} jobs ranked {by}", title_justify="left")
    names = {"val/loss": "best validation loss"}
    for name in ("rank", "job", "settings", names.get(board.ranked_by or "", f"{board.ranked_by} (95 % interval)")):
        table.add_column(name, overflow="fold")
    for row in ranked[:_SHOWN]:
        table.add_row(str(row["rank"]), str(row["job"]), row["overrides"], score_text(row))
    more = [f"... and {len(ranked) - _SHOWN} more in leaderboard.csv"] if len(ranked) > _SHOWN else []
    print_table(table, [*more, *notes])


def score_text(row: Row) -> str:
    """Return a row's ranking score in print."""
    return interval_text({"value": row["score"], "low": row["score_low"], "high": row["score_high"]}, 3)
