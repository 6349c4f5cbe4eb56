"""Run work items without training: each does what plan.json in its directory says, and writes where and when it ran."""

import json
import os
import signal
import time
from collections.abc import Callable

from hemexp.sweep.backends.base import Outcome, WorkItem


def run_item(item: WorkItem, add_epochs: Callable[[int], object]) -> Outcome:
    directory = item.jobs[0].directory
    plan = json.loads((directory / "plan.json").read_text())
    device, began = os.environ.get("CUDA_VISIBLE_DEVICES", ""), time.time()
    (directory / "began").touch()
    action = plan.get("do", "sleep")
    if action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "exit":
        os._exit(3)
    elif action == "hang":
        time.sleep(600)
    elif action == "ignore signals":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(600)
    elif action == "fill the memory":
        memory = [bytes([1]) * 2**30]
        time.sleep(600)
        del memory
    elif action == "fail":
        return Outcome("failed", "ValueError: as planned")
    try:
        while time.time() < began + plan["seconds"]:
            time.sleep(0.02)
            add_epochs(1)
    except KeyboardInterrupt:
        return Outcome("interrupted", "stopped")
    ran = {"device": device, "began": began, "ended": time.time()}
    ran |= {"cores": os.environ.get("HEMEXP_NUM_CORES"), "gpu_shares": os.environ.get("HEMEXP_GPU_SHARES")}
    (directory / "ran.json").write_text(json.dumps(ran))
    return Outcome("done")
