"""Functions of work items: each runs in the process that was started for it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_info

import hemexp
from hemexp.runner.local import Device, LocalRunner


def start_grandchild(item: Any, report: Any) -> None:
    """Start a program, and write the ids of this process, the program and the server."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    temporary = item.value / "writing"
    temporary.write_text(f"{os.getpid()} {program.pid} {os.getppid()}")
    temporary.rename(item.value / "began")
    time.sleep(60)


def get_environment(item: Any, report: Any) -> tuple[dict[str, str], list[int]]:
    return dict(os.environ), [library["num_threads"] for library in threadpool_info()]


def make_tensor(item: Any, report: Any) -> torch.Tensor:
    return torch.ones(item.value)


def fail(item: Any, report: Any) -> None:
    error = ValueError(item.value)
    if item.value == "not sent":
        error.args = (lambda: None,)  # cannot be pickled
    raise error


def stop_itself(item: Any, report: Any) -> bytes:
    report(1)
    if item.value == "stops":
        os.kill(os.getpid(), signal.SIGSTOP)
    return bytes(10_000_000)


def kill_server(item: Any, report: Any) -> None:
    """Kill the server that forked this process, once for all items."""
    time.sleep(0.3)
    try:
        Path(item.value).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.3)


def square(item: Any, report: Any) -> int:
    return int(item.order**2)


def run_nested(item: Any, report: Any) -> tuple[int, set[int], list[int]]:
    """Return the server of this process, the servers of the processes that it starts, and their results."""
    from test_local import Item, run_all

    def run(name: str) -> list[Any]:
        items = [Item(0, number) for number in range(item.value)]
        return [
            event.value for event in run_all(LocalRunner([Device("a"), Device("b")], f"fake_functions:{name}"), items)
        ]

    return os.getppid(), set(run("get_server")), sorted(run("square"))


def get_server(item: Any, report: Any) -> int:
    return os.getppid()


def leave_program(item: Any, report: Any) -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid


@dataclass
class SlowToPickle:
    marker: Path
    text: str = ""

    def __getstate__(self) -> dict[str, Any]:
        self.marker.touch()
        time.sleep(1)
        return {"text": "whole"}


def return_slowly(item: Any, report: Any) -> SlowToPickle:
    return SlowToPickle(item.value)


def describe_code(item: Any, report: Any) -> tuple[str | None, bool]:
    """Return the file of hemexp, and whether the server has imported the training code."""
    return hemexp.__file__, "hemexp.commands.train" in sys.modules
