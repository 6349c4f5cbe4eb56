"""Jobs on a Slurm cluster, through submitit: an array task a job, and Slurm's own word on those that it lost."""

import os
import pickle
import shutil
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hemexp.config import SlurmConfig
from hemexp.errors import UserError
from hemexp.sweep.backend import Ended
from hemexp.sweep.elsewhere import Elsewhere, Flight
from hemexp.sweep.remote_worker import WORK, End, run_elsewhere
from hemexp.sweep.slurm_commands import GONE, notice, parameters, states, tell

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
            raise UserError(f"where.options={{{key}: ...}}: is not free; conf/where/slurm.yaml says what else sets it")


class SlurmBackend(Elsewhere):
    """A `hemexp.sweep.backend.Backend` that submits an array for every batch of tasks.

    Args:
        where: what each job asks for.
        directory: of the sweep; ``.slurm/`` in it takes what submitit and Slurm write.
        accelerator: that jobs train on.
        function: what does a task; see `hemexp.sweep.remote_worker.run_elsewhere`.
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
