"""Train the networks of several jobs together; each job then finds its network trained, as if trained alone."""

import hashlib
import shutil
import time
from collections.abc import Sequence

from hemexp.data.datamodule import ExpansionDataModule
from hemexp.files.run_directory import RunDirectory
from hemexp.sweep.backends.base import BATCHES
from hemexp.sweep.plan.job import SweepJob
from hemexp.training.checkpoint import SHARED_SECONDS, load_state, save_checkpoint
from hemexp.training.fit import fit, get_shape
from hemexp.training.member import Member


def train_together(jobs: Sequence[SweepJob]) -> None:
    """Train the networks of jobs, and write each into the directory of its job as a training that has ended.

    Raises:
        UserError: the cohort or the split of a job cannot be used.
        Interrupted: a signal came; the next call with the same jobs continues the training.
    """
    groups: dict[tuple[object, ...], list[tuple[SweepJob, Member]]] = {}  # by the shape of the network
    for job in jobs:
        run = RunDirectory(job.directory)
        if run.open(job.cfg) != "done" and not run.last.is_file():
            data = ExpansionDataModule.from_config(job.cfg)
            data.setup()
            member = Member(job.cfg.model, job.cfg.optimizer, data.training_set, job.cfg.seed)
            groups.setdefault(get_shape(member, job.cfg.trainer), []).append((job, member))
    for shape in sorted(groups, key=repr):
        _train_group(groups[shape])


def _train_group(pairs: Sequence[tuple[SweepJob, Member]]) -> None:
    first = pairs[0][0]
    name = hashlib.sha256(" ".join(job.config_hash for job, _ in pairs).encode()).hexdigest()[:16]
    directory = first.directory.parent / BATCHES / name  # an interrupted batch continues from here
    checkpoints = [RunDirectory(job.directory).last for job, _ in pairs]
    started = time.perf_counter()
    members = [member for _, member in pairs]
    fit(members, first.cfg.trainer, directory=directory, num_workers=1, member_checkpoints=checkpoints)
    seconds = (time.perf_counter() - started) / len(pairs)
    for checkpoint in checkpoints:
        save_checkpoint({**(load_state(checkpoint) or {}), SHARED_SECONDS: seconds}, checkpoint)
    shutil.rmtree(directory, ignore_errors=True)
