"""What is said to Slurm, and what it answers."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

from hemexp.compose import CONFIG_DIR
from hemexp.config import SlurmConfig

GONE = "GONE"  # our word for a job that is in the queue no more


def parameters(where: SlurmConfig, accelerator: str) -> dict[str, Any]:
    """Return what submitit's SlurmExecutor is to ask Slurm for."""
    options = {key.replace("-", "_"): value for key, value in where.options.items()}
    gpus = where.gpus_per_job if where.gpus_per_job is not None else int(accelerator in {"gpu", "cuda"})
    asked: dict[str, Any] = {
        "job_name": "hemexp",
        "partition": where.partition,
        "account": where.account,
        "time": where.time_minutes,
        "cpus_per_task": where.cpus_per_job,
        "mem": None if {"mem_per_cpu", "mem_per_gpu"} & set(options) else f"{round(1024 * where.memory_gb)}M",
        "gpus_per_node": gpus if gpus and not {"gres", "gpus_per_task"} & set(options) else None,
    }
    setup = options.pop("setup", [])
    path = (
        f"export PYTHONPATH={shlex.quote(str(CONFIG_DIR.parent))}${{PYTHONPATH:+:$PYTHONPATH}}"  # where run from source
    )
    asked["setup"] = [*([setup] if isinstance(setup, str) else setup), path]
    from submitit import SlurmExecutor

    known = SlurmExecutor._valid_parameters()
    asked |= {key: value for key, value in options.items() if key in known}
    others = {key: value for key, value in options.items() if key not in known}
    # Interrupted by the signal that our processes know, not by submitit's; and once ended, a job is ended
    others |= {"signal": f"INT@{notice(where.time_minutes)}", "no-requeue": True}
    return {key: value for key, value in asked.items() if value is not None} | {"additional_parameters": others}


def notice(minutes: int) -> int:
    """Return how many seconds before its time limit a job is told to save its state."""
    return min(120, 15 * minutes)


def states(jobs: Sequence[str]) -> dict[str, str]:
    """Ask Slurm for jobs' states, as ``STATE|EXIT CODE``: its accounting, or where there is none its queue.

    A job that it does not answer for is left out.
    """
    from submitit.slurm.slurm import SlurmInfoWatcher

    arrays = sorted({job.split("_")[0] for job in jobs})
    told = tell("sacct", "--allocations", "--parsable2", "--format=JobID,State,ExitCode", f"--jobs={','.join(arrays)}")
    if told is not None:
        found = SlurmInfoWatcher().read_info(told)
        return {job: f"{found[job]['State']}|{found[job]['ExitCode']}" for job in jobs if job in found}
    told = tell("squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T")
    if told is None:
        return {}
    queue = dict(line.strip().split("|", 1) for line in told.splitlines() if "|" in line)
    return {job: queue.get(job, GONE) for job in jobs}


def tell(*command: str) -> str | None:
    """Run one of Slurm's commands; return what it says, None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
