"""A simulated Slurm in one file: sbatch, srun, sacct, squeue and scancel for tests.

Run with the name of a command as its first argument, it acts as that command. Environment variables configure it:
`FAKE_SLURM` is the directory of its state, `FAKE_SLURM_MINUTE` the number of seconds that count as a minute,
`FAKE_SLURM_MOST` the largest number of tasks, `FAKE_SLURM_ACCOUNTS=off` disables sacct, and
`FAKE_SLURM_FORGETS=yes` lets squeue forget jobs that have ended. Array tasks run in parallel
up to the limit of the array, each in a separate session. A signal to a job reaches all its processes except the batch
shell. A running job that is cancelled or reaches its time limit gets SIGTERM, and SIGKILL some seconds later. Without
accounting, squeue knows the ends of jobs. test_real_slurm.py runs on a real Slurm, which does the same.
"""

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

KILL_WAIT = 1.5  # seconds from SIGTERM to SIGKILL
COMMANDS = ("sbatch", "srun", "sacct", "squeue", "scancel")


def install(directory: Path) -> Path:
    """Write the commands into a directory for the PATH."""
    directory.mkdir(parents=True)
    for name in COMMANDS:
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return directory


def get_state_directory() -> Path:
    return Path(os.environ["FAKE_SLURM"])


def note(key: str, **facts: Any) -> None:
    path = get_state_directory() / f"{key}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({**known(key), **facts}))
    partial.replace(path)


def known(key: str) -> dict[str, Any]:
    path = get_state_directory() / f"{key}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def known_jobs() -> list[str]:
    return sorted(
        (path.stem for path in get_state_directory().glob("*.json")), key=lambda key: [int(n) for n in key.split("_")]
    )


def sbatch(script: str) -> None:
    text = Path(script).read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, flags=re.MULTILINE))
    options = {name: shlex.split(value)[0] if value else "" for name, value in options.items()}
    if options.get("partition") == "nowhere":
        sys.exit("sbatch: error: Batch job submission failed: Invalid partition name specified")
    with FileLock(get_state_directory() / "lock"):
        if len(known_jobs()) >= int(os.environ.get("FAKE_SLURM_MOST", "10000")):
            sys.exit("sbatch: error: MaxSubmitJobs limit reached")
        job = 1 + max((int(key.split("_")[0]) for key in known_jobs()), default=0)
        last, _, parallel = options.get("array", "0-0").partition("-")[2].partition("%")
        tasks = [f"{job}_{number}" for number in range(int(last) + 1)] if "array" in options else [str(job)]
        for key in tasks:
            note(key, state="PENDING", exit="0:0", options=options)
    copy = get_state_directory() / f"{job}.sh"
    copy.write_text(text)
    subprocess.Popen(
        [sys.executable, __file__, "control", str(copy), parallel or "1", *tasks],
        stdout=subprocess.DEVNULL,
        stderr=(get_state_directory() / "control.log").open("a"),
        start_new_session=True,
    )
    print(f"Submitted batch job {job}")


def control(script: str, parallel: str, *tasks: str) -> None:
    """Act as Slurm's controller for one job: start its tasks, enforce the time limit, and record the end of each."""
    minute = float(os.environ.get("FAKE_SLURM_MINUTE", "60"))
    waiting, running = list(tasks), dict[str, tuple[Any, float]]()
    while waiting or running:
        while waiting and len(running) < int(parallel):
            with FileLock(get_state_directory() / "lock"):
                key = waiting.pop(0)
                if known(key)["state"] == "PENDING":
                    running[key] = (start(script, key), time.time())
                    note(key, state="RUNNING", pid=running[key][0].pid, began=time.time())
        for key, (shell, began) in list(running.items()):
            facts, seconds = known(key), time.time() - began
            limit = float(facts["options"]["time"]) * minute
            name, _, notice = facts["options"]["signal"].partition("@")
            if seconds > limit - float(notice) * minute / 60 and not facts.get("noticed"):
                note(key, noticed=True)
                send(facts["pid"], getattr(signal, f"SIG{name}"))
            if seconds > limit and "why" not in facts:
                end(key, "TIMEOUT")
            if time.time() > facts.get("kill_at", float("inf")):
                send(facts["pid"], signal.SIGKILL, shell_too=True)
            if (code := shell.poll()) is not None:
                send(facts["pid"], signal.SIGKILL)
                state = known(key).get("why") or ("COMPLETED" if code == 0 else "FAILED")
                note(key, state=state, exit=f"{max(code, 0)}:{max(-code, 0)}", ended=time.time())
                del running[key]
        time.sleep(0.02)


def start(script: str, key: str) -> "subprocess.Popen[bytes]":
    job, _, task = key.partition("_")
    facts = {"SLURM_JOB_ID": str(1000 + int(job)) if task else job, "SLURM_JOB_NODELIST": "node1", "SLURM_NTASKS": "1"}
    facts |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task} if task else {}
    facts |= {"SLURM_NNODES": "1", "SLURM_JOB_NAME": "hemexp", "FAKE_SLURM_KEY": key}
    return subprocess.Popen(["bash", script], env={**os.environ, **facts}, start_new_session=True)


def end(key: str, why: str) -> None:
    """End a running job as Slurm does: SIGTERM lets it save its state."""
    note(key, why=why, kill_at=time.time() + KILL_WAIT)
    send(known(key)["pid"], signal.SIGTERM)


def send(session: int, number: int, shell_too: bool = False) -> None:
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            if os.getsid(pid) == session and (shell_too or pid != session):
                os.kill(pid, number)


def srun(*arguments: str) -> None:
    """Replace this process by the command, with its output in the given files."""
    given, key = list(arguments), os.environ["FAKE_SLURM_KEY"]
    job, _, task = key.partition("_")
    while given[0].startswith("--"):
        option = given.pop(0)
        if option in {"--output", "--error"}:
            path = given.pop(0)
            for sign, value in {"%A": job, "%a": task, "%j": job, "%t": "0"}.items():
                path = path.replace(sign, value)
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if option == "--output" else 2)
    os.environ.update(SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0", SLURM_STEP_ID="0")
    os.execvp(given[0], given)


def sacct(*arguments: str) -> None:
    if os.environ.get("FAKE_SLURM_ACCOUNTS") == "off":
        sys.exit("Slurm accounting storage is disabled")
    jobs = next(each.partition("=")[2].split(",") for each in arguments if each.startswith("--jobs="))
    print("JobID|State|ExitCode")
    for job in jobs:
        tasks = [key for key in known_jobs() if key.split("_")[0] == job]
        waiting = [key.split("_")[1] for key in tasks if "_" in key and known(key)["state"] == "PENDING"]
        if waiting:
            print(f"{job}_[{','.join(waiting)}%2]|PENDING|0:0")
        for key in tasks:
            if key.partition("_")[2] not in waiting:
                print(f"{key}|{known(key)['state']}|{known(key)['exit']}")


def squeue(*arguments: str) -> None:
    options = dict(each[2:].partition("=")[::2] for each in arguments)
    with_ended = options.get("states") == "all" and os.environ.get("FAKE_SLURM_FORGETS") != "yes"
    asked = options["jobs"].split(",") if "jobs" in options else [key.split("_")[0] for key in known_jobs()]
    for key in known_jobs():
        facts = known(key)
        state, (code, number) = facts["state"].split(" ")[0], map(int, facts["exit"].split(":"))
        if key.split("_")[0] in asked and (with_ended or state in {"PENDING", "RUNNING"}):
            print(f"{key:40}{state:20}{256 * code + number:<10}")


def scancel(*arguments: str) -> None:
    options = dict(each[2:].partition("=")[::2] for each in arguments if each.startswith("--"))
    asked = [each for each in arguments if not each.startswith("--")]
    with FileLock(get_state_directory() / "lock"):
        for key in known_jobs():
            facts = known(key)
            if not {key, key.split("_")[0]} & set(asked) or facts["state"] != options.get("state", facts["state"]):
                continue
            if facts["state"] == "RUNNING" and "signal" in options:
                send(facts["pid"], getattr(signal, f"SIG{options['signal']}"))
            elif facts["state"] == "RUNNING":
                end(key, f"CANCELLED by {os.getuid()}")
            elif facts["state"] == "PENDING" and "signal" not in options:
                note(key, state=f"CANCELLED by {os.getuid()}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
