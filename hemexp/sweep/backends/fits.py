"""Train fits of several jobs together, and write each result where its job finds it."""

import logging
import shutil
import time
from collections.abc import Sequence

from hemexp.config import TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import UserError
from hemexp.evaluation.plan import EvaluationPlan, PlannedFit, list_definitions, own_member, plan_folds
from hemexp.sweep.backends.base import BATCHES, FitRange, WorkItem
from hemexp.sweep.plan.cost import NEW_FOLDS, OWN, count_fits
from hemexp.sweep.results.reevaluation import plan_reevaluation
from hemexp.training.fit import fit
from hemexp.training.fit_store import write_fits
from hemexp.training.member import Member

log = logging.getLogger(__name__)


def _build_members(cfg: TrainConfig, chosen: FitRange) -> list[Member]:
    """Return the chosen fits of a job."""
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    if chosen.stage == OWN:
        return [own_member(cfg, data)]
    fits: Sequence[PlannedFit]
    if chosen.stage == NEW_FOLDS:
        pipeline, folds = plan_reevaluation(cfg, data)
        fits = plan_folds([pipeline], folds)
    else:
        planned = EvaluationPlan(cfg, data, list_definitions(cfg)).fits
        fits = planned[chosen.stage]
        if chosen.stage == "folds" and chosen.stop == count_fits(cfg)["folds"]:
            # with the last folds, those of the centers, whose number only the cohort tells
            return [each.member() for each in [*fits[chosen.start :], *planned["centers"]]]
    return [each.member() for each in fits[chosen.start : chosen.stop]]


def train_fits(item: WorkItem) -> None:
    """Train the fits of an item whose jobs are not done, and write the results into the directories of the jobs.

    A job whose fits cannot be built is left out: its own run meets the same error, and reports it.

    Raises:
        Interrupted: a signal came; the next call with the same item continues the training.
    """
    members: dict[int, list[Member]] = {}  # by number of the job
    for job, chosen in zip(item.jobs, item.ranges, strict=True):
        if (job.directory / "DONE").is_file() and chosen.stage != NEW_FOLDS:
            continue
        try:
            members[job.number] = _build_members(job.cfg, chosen)
        except UserError as error:
            log.warning("%s: %s", job.title, error)
    together = [member for of_job in members.values() for member in of_job]
    trainer, directory = item.jobs[0].cfg.trainer, item.directory / BATCHES / item.name
    started = time.perf_counter()
    results = iter(fit(together, trainer, directory=directory, num_workers=1))
    seconds = (time.perf_counter() - started) / max(1, len(together))
    for job in item.jobs:
        if chosen_members := members.get(job.number):
            fitted = [next(results) for _ in chosen_members]
            write_fits(item.get_result_path(job), chosen_members, fitted, trainer, seconds * len(fitted))
    shutil.rmtree(directory, ignore_errors=True)
