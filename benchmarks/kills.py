"""Interrupt every command at many moments; then the same command must complete with the same bytes.

python benchmarks/kills.py [--commands train prepare ...] [--kills 60] [--epochs 60] [--seed 0] [--table FILE]

- *rename*: SIGKILL at every rename of a file, before and after it, one start after another in the same directory. No
  start may refuse what the one before left.
- *signals*: SIGKILL, SIGTERM and SIGINT in turn at random moments, each in a new directory.
- *full disk*: a disk of several small sizes (needs the right to mount). Every start must end with exit code 1 and one
  line; with more space, the same command completes.

$TMPDIR is on another file system (/dev/shm), where there is one. Every start is a fork of this process, which has
imported the libraries already: only so are hundreds of starts possible.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.__main__ import main as start_command

for _name in ("commands.train", "commands.prepare", "commands.predict", "commands.report", "sweep.controller"):
    import_module(f"hemexp.{_name}")  # once, for all forks

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SHARES = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)  # sizes of the small disk, as shares of what a command writes
_HOOK = """
import os, signal, sys
number, moment = {number}, {moment!r}
if ({everywhere} or any("multiprocessing.forkserver" in text for text in sys.orig_argv)):
    count = 0
    def counted(rename):
        def call(*args, **kwargs):
            global count
            count += 1
            if count == number and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*args, **kwargs)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return call
    os.replace, os.rename = counted(os.replace), counted(os.rename)
"""


@dataclass
class Command:
    """A command with its arguments, and the files that must be the same."""

    name: str
    script: str
    arguments: Callable[[Path], list[str]]
    compared: tuple[str, ...]
    where: str = "main"  # the process whose renames are counted: main or worker
    place: Callable[[Path], Path] = lambda directory: directory


@dataclass
class Counts:
    """The number of interruptions, and the failures among them."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)


class Start:
    """One start of a command in a fork; a start that kills itself at a rename has ended already."""

    process: int
    status: int | None

    def __init__(self, command: Command, directory: Path, rename: int = 0, moment: str = "before") -> None:
        place = directory.parent.parent if directory.name == "out" else directory.parent  # never on the small disk
        self.output, self.status = place / f"{directory.parent.name}-{directory.name}.output", None
        self.began = time.monotonic()
        if rename:
            with tempfile.TemporaryDirectory() as hooks:
                everywhere = command.where == "main"
                hook = _HOOK.format(number=rename, moment=moment, everywhere=everywhere)
                Path(hooks, "sitecustomize.py").write_text(hook)
                self._fork(command, directory, hook if everywhere else "", hooks)
                self.wait()
        else:
            self._fork(command, directory)

    def _fork(self, command: Command, directory: Path, hook: str = "", path: str = "") -> None:
        sys.stdout.flush()
        self.process = os.fork()
        if self.process:
            return
        code = 70
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.output.parent.mkdir(parents=True, exist_ok=True)
            target = os.open(self.output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(target, 1)
            os.dup2(target, 2)
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
            exec(hook, {})
            sys.argv = [command.script, *command.arguments(directory)]
            start_command(command.script.removesuffix(".py"))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)

    def wait(self) -> int:
        """Return the exit code; of a killed process, minus the signal."""
        if self.status is None:
            _, self.status = os.waitpid(self.process, 0)
        return os.waitstatus_to_exitcode(self.status)

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        if self.status is None:
            process, status = os.waitpid(self.process, os.WNOHANG)
            self.status = status if process else None
        return self.status is not None

    @property
    def text(self) -> str:
        """What the command printed."""
        return self.output.read_text(errors="replace")


def read(path: Path, place: Path) -> object:
    """Return the content of a file without times and its place."""
    if path.suffix == ".json":
        content: dict[str, Any] = json.loads(path.read_text().replace(str(place), "PLACE"))
        content.get("config", {}).pop("output_dir", None)
        return {key: value for key, value in content.items() if key not in ("seconds", "run_dir", "command", "digest")}
    if path.name == "leaderboard.csv":
        return pd.read_csv(path).drop(columns=["seconds", "device"]).to_csv()
    return path.read_bytes()


def differences(command: Command, directory: Path, whole: Path) -> list[str]:
    """Return the files that differ from those of an uninterrupted run, and files that should not be there."""
    mine, its = command.place(directory), command.place(whole)
    names = sorted({str(path.relative_to(its)) for pattern in command.compared for path in its.glob(pattern)})
    assert names
    wrong = [
        name for name in names if not (mine / name).is_file() or read(mine / name, directory) != read(its / name, whole)
    ]
    return wrong + [path.name for path in mine.rglob(".*.partial")]


def complete(command: Command, directory: Path, whole: Path, counts: Counts, what: str) -> None:
    """Give the command again and compare its files."""
    again = Start(command, directory)
    if (code := again.wait()) != 0:
        counts.failures.append(f"{what}: the next start ended with {code}: {again.text[-300:]}")
    elif wrong := differences(command, directory, whole):
        counts.failures.append(f"{what}: differ: {', '.join(wrong)}")


def kill_at_renames(command: Command, directory: Path, whole: Path, moments: list[str]) -> Counts:
    """Kill a start at its first rename, the next start at its second, and so on until one completes."""
    counts = Counts()
    for moment in moments:
        place, number = directory / f"{command.name}-{moment}", 1
        while True:
            start = Start(command, place, number, moment)
            code, killed = start.wait(), "SIGKILL" in start.text
            if code != -signal.SIGKILL and not killed:
                break
            counts.tried += 1
            number += 1
        if code != 0:
            counts.failures.append(f"{command.name}: rename {number}, {moment}: exit code {code}: {start.text[-300:]}")
        elif wrong := differences(command, place, whole):
            counts.failures.append(f"{command.name}: renames, {moment}: differ: {', '.join(wrong)}")
    return counts


def kill_at_random(
    command: Command, directory: Path, whole: Path, seconds: float, number: int, rng: random.Random
) -> dict[str, Counts]:
    """Send each signal at random moments."""
    all_counts = {name.name: Counts() for name in SIGNALS}
    for trial in range(number):
        sent = SIGNALS[trial % len(SIGNALS)]
        counts, place = all_counts[sent.name], directory / f"{command.name}-{trial}"
        start = Start(command, place)
        end = time.monotonic() + rng.uniform(0.01, 0.9) * seconds
        while time.monotonic() < end and not start.has_ended():
            time.sleep(0.005)
        if start.has_ended():  # too late for a signal
            continue
        os.kill(start.process, sent)
        code = start.wait()
        counts.tried += 1
        if sent != signal.SIGKILL and (code not in (0, 1) or "Traceback" in start.text):
            counts.failures.append(f"{command.name}: {sent.name}: exit code {code}: {start.text[-600:]}")
        complete(command, place, whole, counts, f"{command.name}: {sent.name}")
    return all_counts


@contextmanager
def small_disk(directory: Path, kilobytes: int) -> Iterator[bool]:
    """Mount a disk of this size; False without the right to do so."""
    directory.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(directory)], check=False)


def fill_disk(command: Command, directory: Path, whole: Path) -> Counts:
    """Start on disks of several sizes, then enlarge each and start again."""
    counts = Counts()
    size = sum(path.stat().st_size for path in command.place(whole).rglob("*") if path.is_file()) / 1024
    for share in SHARES:
        disk = directory / f"{command.name}-disk-{share}"
        with small_disk(disk, max(8, int(share * size))) as mounted:
            if not mounted:
                return counts
            start = Start(command, disk / "out")
            code = start.wait()
            if code == 0:
                continue
            counts.tried += 1
            lines = [line for line in start.text.splitlines() if "No space left" in line]
            if code != 1 or len(lines) != 1 or "Traceback" in start.text:
                counts.failures.append(f"{command.name}: disk of {share:.0%}: exit code {code}: {start.text[-600:]}")
            subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
            complete(command, disk / "out", whole, counts, f"{command.name}: disk of {share:.0%}")
    return counts


def build_commands(root: Path, epochs: int) -> dict[str, Command]:
    """Return the commands; predict and report use the run ``whole/train`` below `root`."""
    small = ["trainer.progress_bar=false", "data.num_patients=40", f"trainer.max_epochs={epochs}"]
    run = [*small, "trainer.stop_loss=null", "trainer.checkpoint_every=20", "evaluation.num_repeats=1"]
    run += ["evaluation.threshold_repeats=1"]
    trained, tables = root / "whole" / "train", ("*.csv", "result.json")
    sweep = ["seed=0,1", *small, "evaluation=off", "where.num_workers=1"]
    sweep_files = ("leaderboard.csv", "[01]/*.csv", "[01]/result.json")

    def copy_run(directory: Path) -> list[str]:
        if not (directory / "run").is_dir():
            subprocess.run(["mkdir", "-p", str(directory)], check=True)
            subprocess.run(["cp", "-r", str(trained), str(directory / "run")], check=True)
        return [f"run_dir={directory / 'run'}", f"output_dir={directory / 'out'}"]

    commands = [
        Command("train", "train.py", lambda d: [f"output_dir={d}", *run], (*tables, "figures/*.png")),
        Command("prepare", "prepare.py", lambda d: [f"output_dir={d}", "data.num_patients=40"], tables[:1]),
        Command("predict", "predict.py", lambda d: [f"output_dir={d}", f"run_dir={trained}", "data=synthetic"], tables),
        Command("report", "report.py", copy_run, ("report.html",), place=lambda d: d / "run"),
        Command("sweep", "train.py", lambda d: ["-m", f"hydra.sweep.dir={d}", *sweep], sweep_files),
        Command("sweep-worker", "train.py", lambda d: ["-m", f"hydra.sweep.dir={d}", *sweep], sweep_files, "worker"),
    ]
    return {command.name: command for command in commands}


def main() -> None:
    """Print the table of counts and every failure; exit with 1 after one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", default=["train", "prepare", "predict", "report", "sweep"])
    parser.add_argument("--kills", type=int, default=60, help="signals at random moments for each command")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--moments", nargs="*", default=["before", "after"], help="of the renames")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, help="file for the counts as JSON lines, appended")
    options = parser.parse_args()
    rng, failures = random.Random(options.seed), 0
    if Path("/dev/shm").is_dir():
        os.environ["TMPDIR"] = "/dev/shm"
    print("| command | interrupted by | tried | failed |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        root = Path(folder).resolve()
        commands = build_commands(root, options.epochs)
        needed = ["train"] if {"train", "predict", "report"} & set(options.commands) else []
        for name in dict.fromkeys([*needed, *options.commands]):
            command, whole = commands[name], root / "whole" / name
            (root / "whole").mkdir(exist_ok=True)
            start = Start(command, whole)
            if start.wait() != 0:
                sys.exit(f"{name} does not run: {start.text}")
            if name not in options.commands:
                continue
            seconds = time.monotonic() - start.began
            rows = {"SIGKILL at a rename": kill_at_renames(command, root, whole, options.moments)}
            rows |= kill_at_random(command, root, whole, seconds, options.kills, rng)
            if command.where == "main" and name not in ("sweep", "report"):  # these need files on the disk
                rows["full disk"] = fill_disk(command, root / "disks", whole)
            for what, counts in rows.items():
                print(f"| {name} | {what} | {counts.tried} | {len(counts.failures)} |", flush=True)
                print(*counts.failures, sep="\n", end="\n" if counts.failures else "", flush=True)
                failures += len(counts.failures)
                if options.table:
                    with options.table.open("a") as table:
                        print(json.dumps([name, what, counts.tried, len(counts.failures)]), file=table)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
