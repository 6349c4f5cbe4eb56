"""Jobs on a Slurm cluster, through submitit: an array task a job, and Slurm's own word on those that it lost."""

import os
import pickle
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hemexp.config import SlurmConfig
from hemexp.config.compose import PACKAGE
from hemexp.errors import UserError
from hemexp.sweep.backends.base import Ended
from hemexp.sweep.backends.cluster import Elsewhere, Flight
from hemexp.sweep.backends.cluster_worker import WORK, End, run_elsewhere

_ARRAY = 1000  # tasks: Slurm's MaxArraySize is 1001 unless a site raised it
_EARLY = 90.0  # seconds by which a time limit's notice may come early: Slurm keeps time by the minute
_OURS = {
    "account", "array", "array_parallelism", "command", "cpus_per_task", "error", "folder", "map_count", "mem",
    "no_requeue", "nodes", "ntasks", "ntasks_per_node", "open_mode", "output", "partition", "requeue", "signal",
    "signal_delay_s", "time",
}  # fmt: skip
_RUNS = {
    "CONFIGURING", "COMPLETING", "PENDING", "REQUEUED", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED",
    "SUSPENDED", "UNKNOWN",
}  # fmt: skip


def check(where: SlurmConfig, accelerator: str) -> None:
    """Refuse what cannot be submitted from here, before anything is written.

    Raises:
        UserError: submitit or one of Slurm's commands is missing, or an option is one that hemexp sets.
    """
    if find_spec("submitit") is None:
        raise UserError('where=slurm: needs the package submitit; pip install "hemexp[slurm]"')
    missing = [name for name in ("sbatch", "srun", "scancel") if shutil.which(name) is None]
    if missing:
        raise UserError(f"where=slurm: no {' and no '.join(missing)} on the PATH; start the sweep on a login node")
    for key in where.options:
        if key.replace("-", "_") in _OURS:
            raise UserError(
                f"where.options={{{key}: ...}}: is set by hemexp; see the keys of train.py where=slurm --help"
            )


class SlurmBackend(Elsewhere):
    """A `hemexp.sweep.backends.base.Backend` that submits an array for every batch of tasks.

    Args:
        where: what each job asks for.
        directory: of the sweep; ``.slurm/`` in it takes what submitit and Slurm write.
        accelerator: that jobs train on.
        function: what does a task; see `hemexp.sweep.backends.cluster_worker.run_elsewhere`.
    """

    patience = 20.0  # seconds between two questions to Slurm
    delay = 20.0  # seconds that a shared folder may take to show what a job has left in it

    def __init__(self, where: SlurmConfig, directory: Path, accelerator: str, function: str = WORK) -> None:
        super().__init__(where, directory / ".slurm")
        self._function = function
        self.where, self.capacity = where, where.max_parallel
        level = os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")  # else it reconfigures logging
        from submitit import SlurmExecutor

        if level == "NOCONFIG":
            del os.environ["SUBMITIT_LOG_LEVEL"]
        self._executor = SlurmExecutor(folder=self.folder)
        self._executor.update_parameters(**parameters(where, accelerator))
        self._submitted, self._asked = False, 0.0
        self._states: dict[str, str] = {}
        self._lost: dict[str, float] = {}

    def launch(self, flights: Sequence[Flight]) -> None:
        """Submit an array, several where there are more jobs than Slurm takes in one.

        What sbatch refuses later than at the first call has failed, and the rest goes on: a busy Slurm must not end
        a search that has run for hours.

        Raises:
            UserError: sbatch refuses an array of the first call; those before it are cancelled.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        parts = [flights[start : start + _ARRAY] for start in range(0, len(flights), _ARRAY)]
        self._executor.update_parameters(array_parallelism=max(1, self.where.max_parallel // len(parts)))
        first, self._submitted = not self._submitted, True
        for part in parts:
            try:
                with self._executor.batch():
                    for flight in part:
                        what = (flight.task, flight.beats, Path.cwd(), self.where.cpus_per_job, self._function)
                        flight.ticket = self._executor.submit(run_elsewhere, *what)
                self.flights += part
            except (FailedJobError, FailedSubmissionError) as error:
                why, now = f"where=slurm: sbatch refuses it: {error}", time.time()
                if first:
                    self.close()  # the arrays before it
                    raise UserError(why) from None
                line = " ".join(why.split())
                self._kept += [Ended(flight.task, "failed", line, "", now, now) for flight in part]
        self._asked = time.monotonic()

    def refresh(self) -> None:
        """Ask Slurm now and then what has become of the jobs; those that ended well tell it themselves, and sooner."""
        if self.flights and time.monotonic() - self._asked >= self.patience:
            self._asked = time.monotonic()
            self.folder.chmod(self.folder.stat().st_mode)  # makes NFS look again
            self._states |= states([flight.ticket.job_id for flight in self.flights])

    def end_of(self, flight: Flight) -> End | None:
        """Return what the job has left, or Slurm's word once it knows that the job is over."""
        left, key = flight.ticket.paths.result_pickle, flight.ticket.job_id
        if left.is_file():
            kind, value = pickle.loads(left.read_bytes())
            if kind == "error":
                return "failed", f"it did not start: {value.strip().splitlines()[-1]}"
            return value if self.stopped or value[0] != "interrupted" else self._why_interrupted(flight)
        state, _, code = self._states.get(key, "UNKNOWN").partition("|")
        if state.split(" ")[0] in _RUNS:
            return None
        if time.monotonic() - self._lost.setdefault(key, time.monotonic()) < self.delay:
            return None
        if self.stopped:
            return "interrupted", ""
        where = self.where
        why = {
            "OUT_OF_MEMORY": f": where.memory_gb={where.memory_gb:g} is too little",
            "TIMEOUT": f": where.time_minutes={where.time_minutes} is too little",
            "COMPLETED": ", but it left no result",
            GONE: ": it is no longer in the queue, and left no result",
        }.get(state, f", exit code {code}" if code else "")
        outcome = "timeout" if state in {"TIMEOUT", "DEADLINE"} else "killed"
        return outcome, f"Slurm: {state}{why} (Slurm job {key}; {flight.ticket.paths.stderr})"

    def _why_interrupted(self, flight: Flight) -> End:
        """Say why a job was told to save its state and end, where this sweep has not done so."""
        minutes, key = self.where.time_minutes, flight.ticket.job_id
        if time.time() - flight.began > 60 * minutes - notice(minutes) - _EARLY:
            return "timeout", f"where.time_minutes={minutes} is too little (Slurm job {key}); its state is saved"
        return "killed", f"Slurm, or somebody, interrupted Slurm job {key}; its state is saved"

    def recall(self, waiting: Sequence[Flight], running: Sequence[Flight]) -> None:
        """Cancel what is pending, then interrupt what runs."""
        arrays = {flight.ticket.job_id.split("_")[0] for flight in (*waiting, *running)}
        if arrays:
            tell("scancel", "--state=PENDING", *sorted(arrays))
            tell("scancel", "--signal=INT", *sorted(arrays))

    def kill(self, flight: Flight) -> None:
        """Cancel a job."""
        tell("scancel", flight.ticket.job_id)


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
    path = f"export PYTHONPATH={shlex.quote(str(PACKAGE.parent))}${{PYTHONPATH:+:$PYTHONPATH}}"  # where run from source
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
