"""Functions of work items: each runs in the process that was started for it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_info

from hemexp.runner.local import Device, LocalRunner


def start_grandchild(item: Any, report: Any) -> None:
    """Start a program, and write the ids of this process and the server."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    temporary = item.value / "writing"
    temporary.write_text(f"{os.getpid()} {os.getppid()}")
    temporary.rename(item.value / "began")
    time.sleep(60)


def get_environment(item: Any, report: Any) -> tuple[dict[str, str], list[int]]:
    return dict(os.environ), [library["num_threads"] for library in threadpool_info()]


def make_tensor(item: Any, report: Any) -> torch.Tensor:
    return torch.ones(item.value)


def fail(item: Any, report: Any) -> None:
    error = ValueError(item.value)
    if item.value == "not sent":
        error.lock = multiprocessing.Lock  # type: ignore[attr-defined]
        error.args = (lambda: None,)
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


def run_nested(item: Any, report: Any) -> list[int]:
    from test_local import Item, run_all

    events = run_all(
        LocalRunner([Device("a"), Device("b")], "fake_functions:square"), [Item(0, n) for n in range(item.value)]
    )
    return sorted(event.value for event in events)
