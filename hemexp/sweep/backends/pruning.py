"""Report the running score of a trial to its Optuna study, and end the trial where its score is low.

This runs in the process of the job; `hemexp.sweep.study` reads the reports.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock

from hemexp.errors import Pruned
from hemexp.sweep.plan.job import SweepJob

if TYPE_CHECKING:
    from hemexp.evaluation.cross_validation import ScoreCallback

JOURNAL = "study.log"
_WARM_UP = 5  # complete trials before any trial is pruned; a trial may always do 1/5 of its repeats

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_storage(directory: Path) -> JournalStorage:
    """Return the journal of a sweep."""
    path = str(directory / JOURNAL)
    # on Windows few users may create symbolic links
    lock = JournalFileOpenLock(path) if os.name == "nt" else JournalFileSymlinkLock(path)
    return JournalStorage(JournalFileBackend(path, lock))


def build_score_callback(job: SweepJob) -> "ScoreCallback | None":
    """Return a callback that reports the score of a job and prunes the job below the median of earlier jobs.

    Args:
        job: of this process; a job that is not a trial gets None.
    """
    if job.trial is None:
        return None
    name, trial_id = job.trial
    num_repeats, measure = job.cfg.evaluation.num_repeats, job.cfg.search.score
    study = optuna.load_study(
        study_name=name,
        storage=open_storage(job.directory.parent),
        # not used: the settings of the trial are known
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.MedianPruner(_WARM_UP, n_warmup_steps=-(-num_repeats // _WARM_UP)),
    )
    trial = optuna.Trial(study, trial_id)

    def report_score(repeats: int, score: float) -> None:
        trial.report(score, repeats)
        if repeats < num_repeats and trial.should_prune():
            raise Pruned(
                f"pruned after {repeats} of {num_repeats} repeats: {measure} {score:.3f} is worse than the median of "
                "the earlier jobs at this point"
            )

    return report_score
