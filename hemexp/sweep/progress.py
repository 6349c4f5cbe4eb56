"""Progress of a sweep on the terminal: a bar over all jobs, a line for each job, and the ranking at the end."""

import math
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hemexp.formatting import format_duration, interval_text
from hemexp.sweep.results.job_result import DONE, LOST
from hemexp.sweep.results.leaderboard import Leaderboard, get_row_score

_TRAINING_SHARE = 0.9  # of the cost of a job; figures and files follow the training
_NUM_ROWS = 20  # jobs in the table on the terminal; leaderboard.csv has all


class ProgressDisplay:
    """Progress over all jobs: a bar on a terminal, one line for each job elsewhere."""

    def __init__(self) -> None:
        self.num_failed = 0
        self.stopping = False
        self._costs: dict[int, int] = {}  # epochs of each job; 0 for a job that was done earlier
        self._trained: dict[int, float] = {}  # epochs
        self._ended: set[int] = set()
        columns = (
            TextColumn("[bold]{task.fields[jobs]}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        console = Console(file=sys.stderr)
        self._progress = Progress(
            *columns,
            console=console,
            disable=not console.is_terminal,
            transient=True,
            speed_estimate_period=math.inf,  # the speed since the first progress
        )
        self._bar = self._progress.add_task("", total=1.0, jobs="", left="")

    def __enter__(self) -> "ProgressDisplay":
        self.draw()
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add_job(self, number: int, epochs: int, has_ended: bool = False) -> None:
        """Add a job with the number of epochs that it is going to train; 0 for a job that ended earlier."""
        self._costs.setdefault(number, epochs)
        if has_ended:
            self._ended.add(number)

    def add_epochs(self, shares: Mapping[int, int], epochs: int) -> None:
        """Add epochs that were trained for jobs, in proportion to `shares`, by job number."""
        for number, share in shares.items():
            self._trained[number] = self._trained.get(number, 0) + epochs * share / sum(shares.values())
        self.draw()

    def end_job(self, number: int, title: str, status: str, message: str) -> None:
        """Print the end of a job."""
        self._ended.add(number)
        self.num_failed += status in LOST
        self.draw()
        text = message if status == DONE else f"{status.upper()}: {message}"
        left = self._format_time_left()
        self.print(f"[{len(self._ended)}/{len(self._costs)}] {title}: {text}{left and f'; {left}'}")

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @property
    def share(self) -> float:
        """The share of the epochs that is done, 0 to 1."""
        total = sum(self._costs.values())
        return sum(map(self._count_done, self._costs)) / total if total else 0.0

    def _count_done(self, number: int) -> float:
        cost = self._costs[number]
        if number in self._ended:
            return cost
        return min(_TRAINING_SHARE * cost, self._trained.get(number, 0))

    def _format_time_left(self) -> str:
        seconds = self._progress.tasks[0].time_remaining
        return "" if self.stopping or not seconds else f"about {format_duration(seconds)} left"

    def draw(self) -> None:
        """Show the present state."""
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        jobs = f"{len(self._ended)} of {len(self._costs)} jobs{failed}"
        self._progress.update(self._bar, completed=self.share, jobs=jobs)
        is_starting = self._costs and not self.share and not self.stopping
        self._progress.update(self._bar, left="starting" if is_starting else self._format_time_left())


def print_leaderboard(board: Leaderboard, notes: list[str]) -> None:
    """Print the best jobs, then the notes."""
    from hemexp.commands.console import print_table

    if not board.ranked:
        print("\n".join(notes))
        return
    direction = "lower" if board.lower_is_better else "higher"
    title = f"{len(board.ranked)} jobs ranked by {board.ranked_by}, {direction} is better"
    table = Table(title=title, title_justify="left")
    score = "best validation loss" if board.ranked_by == "val/loss" else f"{board.ranked_by} (95 % interval)"
    for name in ("rank", "job", "settings", score):
        table.add_column(name, overflow="fold")
    for row in board.ranked[:_NUM_ROWS]:
        table.add_row(str(row["rank"]), str(row["job"]), row["overrides"], interval_text(get_row_score(row), 3))
    num_hidden = len(board.ranked) - _NUM_ROWS
    hidden = [f"... and {num_hidden} more in leaderboard.csv"] if num_hidden > 0 else []
    print_table(table, [*hidden, *notes])
