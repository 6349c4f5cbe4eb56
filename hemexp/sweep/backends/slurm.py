"""Jobs on a Slurm cluster through submitit: one array task for each job, and Slurm's state of lost jobs."""

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
from hemexp.hardware import limit_cores
from hemexp.runner.local import SAVE_SECONDS
from hemexp.sweep.backends.base import ItemResult, Outcome
from hemexp.sweep.backends.cluster import ClusterBackend, RemoteItem
from hemexp.sweep.backends.cluster_worker import run_remote_item

_JOB_NAME = "hemexp"
_MAX_ARRAY = 1000  # tasks; Slurm's MaxArraySize is 1001 unless a site raised it
_EARLY_SECONDS = 90.0  # by which the notice of a time limit may come early: Slurm measures time in minutes
_GONE = "GONE"  # hemexp's name for a job that is not in the queue any more
_KILLED_CODES = {"137:0", "0:9"}  # by SIGKILL, such as where a node ends a process that needs too much memory
_TIMEOUT_STATES = {"TIMEOUT", "DEADLINE"}
_RESERVED_OPTIONS = {
    "account", "array", "array_parallelism", "command", "cpus_per_task", "error", "folder", "map_count", "mem",
    "no_requeue", "nodes", "ntasks", "ntasks_per_node", "open_mode", "output", "partition", "requeue", "signal",
    "signal_delay_s", "time",
}  # fmt: skip
_RUNNING_STATES = {
    "CONFIGURING", "COMPLETING", "PENDING", "REQUEUED", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED",
    "SUSPENDED", "UNKNOWN",
}  # fmt: skip


def check(where: SlurmConfig, accelerator: str) -> None:
    """Refuse what cannot be submitted from this machine, before anything is written.

    Raises:
        UserError: submitit or a command of Slurm is missing, or an option is one that hemexp sets.
    """
    if find_spec("submitit") is None:
        raise UserError('where=slurm: needs the package submitit; pip install "hemexp[slurm]"')
    missing = [name for name in ("sbatch", "srun", "scancel") if shutil.which(name) is None]
    if missing:
        raise UserError(f"where=slurm: {', '.join(missing)} not found on the PATH; start the sweep on a login node")
    for key in where.options:
        if key.replace("-", "_") in _RESERVED_OPTIONS:
            raise UserError(f"where.options={{{key}: ...}}: hemexp sets this option; see train.py where=slurm --help")


class SlurmBackend(ClusterBackend):
    """A `hemexp.sweep.backends.devices.Backend` that submits the items of each call as an array.

    Args:
        where: the resources of a job, and the time limits.
        directory: of the sweep; ``.slurm/`` in it takes the files of submitit and Slurm.
        accelerator: that jobs train on.
    """

    result_delay = 20.0  # seconds until a shared file system shows the result of a job

    def __init__(self, where: SlurmConfig, directory: Path, accelerator: str) -> None:
        super().__init__(where, directory / ".slurm")
        self.where, self.capacity = where, where.max_parallel
        level = os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")  # submitit would reconfigure logging
        from submitit import SlurmExecutor

        if level == "NOCONFIG":
            del os.environ["SUBMITIT_LOG_LEVEL"]
        self._executor = SlurmExecutor(folder=self.directory)
        self._executor.update_parameters(**build_parameters(where, accelerator))
        self._submitted = False
        self._states: dict[str, str] = {}
        self._lost_since: dict[str, float] = {}
        self._end_earlier_jobs()

    def launch(self, items: Sequence[RemoteItem]) -> None:
        """Submit an array, or several arrays where there are more items than one array can hold.

        An array that sbatch refuses after the first call has failed, and the other items continue: a busy Slurm must
        not end a search that has run for hours.

        Raises:
            UserError: sbatch refuses an array of the first call; the arrays submitted before it are cancelled.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        parts = [items[start : start + _MAX_ARRAY] for start in range(0, len(items), _MAX_ARRAY)]
        self._executor.update_parameters(array_parallelism=max(1, self.where.max_parallel // len(parts)))
        is_first_call, self._submitted = not self._submitted, True
        environment, directory = limit_cores(self.where.cpus_per_job), Path.cwd()
        for part in parts:
            try:
                with self._executor.batch():
                    for remote in part:
                        arguments = (remote.item, remote.heartbeat_file, directory, environment, self.function)
                        remote.handle = self._executor.submit(run_remote_item, *arguments)
                self.items += part
            except (FailedJobError, FailedSubmissionError) as error:
                reason, now = f"where=slurm: sbatch refuses the jobs: {error}", time.time()
                if is_first_call:
                    self.close()  # cancels the arrays submitted before
                    raise UserError(reason) from None
                line = " ".join(reason.split())
                self._pending_events += [ItemResult(remote.item, "failed", line, "", now, now) for remote in part]
        self.queried = time.monotonic()

    def _end_earlier_jobs(self) -> None:
        """Cancel the jobs of an earlier start that was killed, and wait while they save their state."""
        arrays = sorted({path.name.split("_")[0] for path in self.directory.glob("*_submitted.pkl")})
        ours = (f"--user={os.getuid()}", f"--name={_JOB_NAME}", "--noheader")
        deadline = time.monotonic() + SAVE_SECONDS
        while arrays and run_command("squeue", *ours, f"--jobs={','.join(arrays)}"):
            if time.monotonic() > deadline:
                raise UserError(f"where=slurm: jobs of an earlier start do not end; see squeue --name={_JOB_NAME}")
            run_command("scancel", f"--name={_JOB_NAME}", *arrays)
            time.sleep(self.poll_interval)

    def refresh(self) -> None:
        """Query Slurm for the states of the jobs at times; a job that ends well leaves a result file earlier."""
        if self.items and time.monotonic() - self.queried >= self.query_interval:
            self.queried = time.monotonic()
            self.directory.chmod(self.directory.stat().st_mode)  # makes NFS reload the directory
            self._states |= query_states([remote.handle.job_id for remote in self.items])

    def get_outcome(self, remote: RemoteItem) -> Outcome | None:
        """Return the result that the job has written, or Slurm's state once the job has ended."""
        path, key = remote.handle.paths.result_pickle, remote.handle.job_id
        state, _, code = self._states.get(key, "UNKNOWN").partition("|")
        if path.is_file():
            kind, value = pickle.loads(path.read_bytes())
            if kind == "error":
                return Outcome("failed", f"it did not start: {value.strip().splitlines()[-1]}")
            if value[0] == "interrupted" and not self.stopped_at:  # by something else
                is_new = time.time() - remote.last_heartbeat < 2 * self.query_interval
                return None if state in _RUNNING_STATES and is_new else self._explain_interruption(remote, state)
            outcome: Outcome = value
            return outcome
        if state in _RUNNING_STATES:
            return None
        if time.monotonic() - self._lost_since.setdefault(key, time.monotonic()) < self.result_delay:
            return None
        if self.stopped_at:
            return Outcome("interrupted")
        where = self.where
        reason = {
            "OUT_OF_MEMORY": f": where.memory_gb={where.memory_gb:g} is too little",
            "TIMEOUT": f": where.time_minutes={where.time_minutes} is too little",
            "COMPLETED": ", but it left no result",
            _GONE: ": it is not in the queue any more, and left no result",
        }.get(state, f", exit code {code}" if code else "")
        if state == "FAILED" and code in _KILLED_CODES:
            reason += f": its process was killed; perhaps where.memory_gb={where.memory_gb:g} is too little"
        kind = "timeout" if state in _TIMEOUT_STATES else "killed"
        return Outcome(kind, f"Slurm: {state}{reason} (Slurm job {key}; {remote.handle.paths.stderr})")

    def _explain_interruption(self, remote: RemoteItem, state: str) -> Outcome:
        """Return why a job was interrupted by something other than this sweep."""
        minutes, job = self.where.time_minutes, f"(Slurm job {remote.handle.job_id}); its state is saved"
        noticed = time.time() - remote.first_heartbeat > 60 * minutes - get_notice_seconds(minutes) - _EARLY_SECONDS
        ended_itself = state in {*_RUNNING_STATES, "COMPLETED", "FAILED", _GONE}
        if state in _TIMEOUT_STATES or (ended_itself and noticed):
            return Outcome("timeout", f"where.time_minutes={minutes} is too little {job}")
        return Outcome("killed", f"{'Slurm or a user interrupted it' if ended_itself else f'Slurm: {state}'} {job}")

    def interrupt(self, waiting: Sequence[RemoteItem], running: Sequence[RemoteItem]) -> None:
        """Cancel the pending jobs, then interrupt the running ones."""
        arrays = {remote.handle.job_id.split("_")[0] for remote in (*waiting, *running)}
        if arrays:
            run_command("scancel", "--state=PENDING", *sorted(arrays))
            run_command("scancel", "--signal=INT", *sorted(arrays))

    def kill(self, remote: RemoteItem) -> None:
        """Cancel a job."""
        run_command("scancel", remote.handle.job_id)


Backend = SlurmBackend  # see `hemexp.sweep.backends.devices`


def build_parameters(where: SlurmConfig, accelerator: str) -> dict[str, Any]:
    """Return the parameters for submitit's SlurmExecutor."""
    options = {key.replace("-", "_"): value for key, value in where.options.items()}
    gpus = where.gpus_per_job if where.gpus_per_job is not None else int(accelerator in {"gpu", "cuda"})
    parameters: dict[str, Any] = {
        "job_name": _JOB_NAME,
        "partition": where.partition,
        "account": where.account,
        "time": where.time_minutes,
        "cpus_per_task": where.cpus_per_job,
        "mem": None if {"mem_per_cpu", "mem_per_gpu"} & set(options) else f"{round(1024 * where.memory_gb)}M",
        "gpus_per_node": gpus if gpus and not {"gres", "gpus_per_task"} & set(options) else None,
    }
    setup = options.pop("setup", [])
    # hemexp may run from its source
    path = f"export PYTHONPATH={shlex.quote(str(PACKAGE.parent))}${{PYTHONPATH:+:$PYTHONPATH}}"
    parameters["setup"] = [*([setup] if isinstance(setup, str) else setup), path]
    from submitit import SlurmExecutor

    known = SlurmExecutor._valid_parameters()
    parameters |= {key: value for key, value in options.items() if key in known}
    additional = {key: value for key, value in options.items() if key not in known}
    # hemexp's processes expect SIGINT, not submitit's signal; a job must not be requeued after its end
    additional |= {"signal": f"INT@{get_notice_seconds(where.time_minutes)}", "no-requeue": True}
    given = {key: value for key, value in parameters.items() if value is not None}
    return given | {"additional_parameters": additional}


def get_notice_seconds(minutes: int) -> int:
    """Return how many seconds before its time limit a job is interrupted to save its state."""
    return min(120, 15 * minutes)


def query_states(jobs: Sequence[str]) -> dict[str, str]:
    """Return the states of jobs as ``STATE|EXIT CODE``, from Slurm's accounting, or else from its controller.

    The controller forgets a job some minutes after its end (Slurm's MinJobAge). A job that the accounting does not know
    is left out.
    """
    from submitit.slurm.slurm import SlurmInfoWatcher

    arrays = ",".join(sorted({job.split("_")[0] for job in jobs}))
    output = run_command("sacct", "--allocations", "--parsable2", "--format=JobID,State,ExitCode", f"--jobs={arrays}")
    if output is not None:
        known = SlurmInfoWatcher().read_info(output)
        return {job: f"{known[job]['State']}|{known[job]['ExitCode']}" for job in jobs if job in known}
    ask = ("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}")
    output = run_command(*ask, "--Format=JobArrayID:40,State:20,exit_code:10")
    if output is None:
        return {}
    states = {}
    for line in output.splitlines():
        job, state, status = line.split()
        states[job] = f"{state}|{int(status) >> 8}:{int(status) & 127}"  # as wait() returns it
    return {job: states.get(job, _GONE) for job in jobs}


def run_command(*command: str) -> str | None:
    """Run a command of Slurm; return its output, None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
