"""Jobs for workers that need no training: each does what its folder's plan.json says, and notes where and when."""

import json
import os
import signal
import time
from collections.abc import Callable

from hemexp.sweep.backends.base import Task


def run_task(task: Task, pulse: Callable[[int], object]) -> tuple[str, str]:
    folder = task.jobs[0].folder
    plan = json.loads((folder / "plan.json").read_text())
    device, began = os.environ.get("CUDA_VISIBLE_DEVICES", ""), time.time()
    (folder / "began").touch()
    do = plan.get("do", "sleep")
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif do == "exit":
        os._exit(3)
    elif do == "hang":
        time.sleep(600)
    elif do == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(600)
    elif do == "fail":
        return "failed", "ValueError: as planned"
    until = began + plan["seconds"]
    try:
        while time.time() < until:
            time.sleep(0.02)
            pulse(1)
    except KeyboardInterrupt:
        return "interrupted", "stopped"
    ran = {"device": device, "cores": os.environ.get("HEMEXP_NUM_CORES"), "began": began, "ended": time.time()}
    (folder / "ran.json").write_text(json.dumps(ran))
    return "done", ""
