"""Networks of several jobs trained together; each job then finds its own trained, as if it had done so itself."""

import hashlib
import shutil
import time
from collections.abc import Sequence
from itertools import groupby

from hemexp.config import TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.files.run_directory import RunDirectory
from hemexp.sweep.directory import BATCHES
from hemexp.sweep.plan.job import SweepJob
from hemexp.training.checkpoint import SHARED_SECONDS, load_checkpoint, save_checkpoint
from hemexp.training.fit import fit, get_shape
from hemexp.training.member import Member


def train_together(jobs: Sequence[SweepJob]) -> None:
    """Train the networks of jobs, and leave each in its job's folder as the state of a training that has ended.

    Raises:
        UserError: a job's cohort or split is not usable.
        Interrupted: a signal came; the same call goes on.
    """
    waiting: list[tuple[SweepJob, Member]] = []
    for job in jobs:
        run = RunDirectory(job.folder)
        if run.open(job.cfg) != "done" and not run.last.is_file():
            waiting.append((job, build_member(job.cfg)))
    waiting.sort(key=lambda each: repr(get_shape(each[1], each[0].cfg.trainer)))
    for _, group in groupby(waiting, key=lambda each: get_shape(each[1], each[0].cfg.trainer)):
        alike = list(group)
        trainer = alike[0][0].cfg.trainer
        names = hashlib.sha256(" ".join(job.key for job, _ in alike).encode()).hexdigest()[:16]
        place = alike[0][0].folder.parent / BATCHES / names  # where an interrupted batch is taken up again
        ends = [RunDirectory(job.folder).last for job, _ in alike]
        started = time.perf_counter()
        fit([member for _, member in alike], trainer, directory=place, num_workers=1, member_checkpoints=ends)
        share = (time.perf_counter() - started) / len(alike)
        for end in ends:
            save_checkpoint({**load_checkpoint(end), SHARED_SECONDS: share}, end)
        shutil.rmtree(place, ignore_errors=True)


def build_member(cfg: TrainConfig) -> Member:
    """Return what a run of this configuration trains."""
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return Member(cfg.model, cfg.optimizer, data.training_set, cfg.seed)
