"""Optuna's tree-structured Parzen estimator: settings are drawn where earlier ones scored well.

Workers report the score after every repeat of cross-validation, and ask whether it is worth going on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from hemexp.errors import JobFailed, Pruned
from hemexp.evaluation.cross_validation import ScoreCallback
from hemexp.sweep.controller import Sweep
from hemexp.sweep.directory import read_result, settle
from hemexp.sweep.plan.cost import count_epochs
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import Refused, Search, distinct_draws
from hemexp.sweep.study import TRIAL, Study, mend, open_storage

_WARM_UP = 5  # trials that must be complete before any is pruned, and the part of the repeats that each may do: 1/5


def run_trials(found: Search, sweep: Sweep) -> None:
    """Run a search: whenever a worker is free it is given the settings that then look best.

    A job that was lost or interrupted in an earlier start is run again, one that is done or was pruned is not.
    """
    mend(found.directory)
    studies = [Study(found, place) for place in range(len(found.folds))]
    jobs = [found.job(number, values) for study in studies for number, values in sorted(study.values.items())]
    refused = [job for job in jobs if isinstance(job, Refused)]
    settle(sweep.directory, [job for job in jobs if job not in refused])
    ended = [job for job in jobs if _has_ended(job) and job not in refused]
    again = [job for job in jobs if job not in refused and job not in ended]
    sweep.skip(ended)
    for broken in refused:
        sweep.refuse(broken, broken.why)
    for job in ended:
        study = _study_of(job, studies)
        if study.states[job.number] not in {TrialState.COMPLETE, TrialState.PRUNED}:
            study.try_again(job.number, study.values[job.number])
            _tell(study, job, sweep)
    open_jobs: list[SweepJob] = []
    total = found.base.search.num_trials * len(studies)
    for number in range(total):
        sweep.display.add(number, count_epochs(found.base))
    with sweep.at_work():
        while True:
            while sweep.num_running < sweep.backend.capacity:
                job_or_none = again.pop(0) if again else _next_job(found, studies, sweep)
                if job_or_none is None:
                    break
                job, study = job_or_none, _study_of(job_or_none, studies)
                if study.states[job.number] != TrialState.RUNNING:
                    study.try_again(job.number, study.values[job.number])
                study.leave_note(job)
                sweep.start([job])
                open_jobs.append(job)  # which is told to the study once the sweep knows what became of it
            sweep.display.num_jobs = max(total, len(sweep.jobs))
            if not sweep.num_running:
                break
            for event in sweep.backend.wait(1.0):
                sweep.handle(event)
            open_jobs = _tell_ended(open_jobs, studies, sweep)
    _tell_ended(open_jobs, studies, sweep)


def _has_ended(job: SweepJob) -> bool:
    return (job.folder / "DONE").is_file() or read_result(job.folder).get("status") == "pruned"


def _study_of(job: SweepJob, studies: list[Study]) -> Study:
    return studies[job.number % len(studies)]


def _next_job(found: Search, studies: list[Study], sweep: Sweep) -> SweepJob | None:
    """Return the next job, of the study that has had the fewest; None where every study has had all that it may."""
    for study in sorted(studies, key=lambda study: len(study.values)):
        while len(study.values) < found.base.search.num_trials and (number := study.ask()) is not None:
            job = found.job(number, study.values[number])
            if not isinstance(job, Refused):
                return job
            study.tell(number, "failed", None)
            sweep.refuse(job, job.why)
    return None


def _tell_ended(jobs: list[SweepJob], studies: list[Study], sweep: Sweep) -> list[SweepJob]:
    """Record the jobs that have ended; return the others."""
    ended = [job for job in jobs if sweep.fates[job.number].status != "missing"]
    for job in ended:
        _tell(_study_of(job, studies), job, sweep)
    return [job for job in jobs if job not in ended]


def _tell(study: Study, job: SweepJob, sweep: Sweep) -> None:
    score = read_result(job.folder).get("metrics", {}).get(f"cv/{job.cfg.search.score}") or {}
    study.tell(job.number, sweep.fates[job.number].status, score.get("value"))


def build_score_callback(job: SweepJob) -> ScoreCallback | None:
    """Return what reports a job's score to the study and ends the job where the earlier ones' median is better.

    Args:
        job: of this process; None is returned where it is no trial.
    """
    try:
        note: dict[str, Any] = json.loads((job.folder / TRIAL).read_text(encoding="utf-8"))
    except OSError:
        return None
    num_repeats, measure = job.cfg.evaluation.num_repeats, job.cfg.search.score
    study = optuna.load_study(
        study_name=note["study"],
        storage=open_storage(job.folder.parent),
        # the settings are there already: nothing is to be drawn
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.MedianPruner(_WARM_UP, n_warmup_steps=-(-num_repeats // _WARM_UP)),
    )
    trial = optuna.Trial(study, note["trial_id"])

    def watch(repeats: int, score: float) -> None:
        trial.report(score, repeats)
        if repeats < num_repeats and trial.should_prune():
            raise Pruned(
                f"pruned after {repeats} of {num_repeats} repeats: {measure} {score:.3f}, worse than the median of the "
                "earlier jobs at this point"
            )

    return watch


def search(config: DictConfig, loader: Any, arguments: Sequence[str], params: Mapping[str, Any] | None) -> None:
    """Search as ``search=`` says; see `Search` for the arguments.

    Raises:
        UserError: it cannot be searched so; nothing was written.
        JobFailed: a job was lost.
    """
    found = Search(config, loader, arguments, params)
    if not run_search(found):
        raise JobFailed


def run_search(found: Search) -> bool:
    """Run a search to its end; return whether every job was done."""
    from hemexp.sweep.controller import Sweep, command_line
    from hemexp.sweep.results.nested_cv import report
    from hemexp.sweep.run_grid import run_all

    options, jobs = found.base.search, list[SweepJob]()
    if options.name == "random":
        drawn = list(zip(range(options.num_trials), distinct_draws(found.space, options.seed), strict=False))
        places = [(trial, fold, values) for trial, values in drawn for fold in range(len(found.folds))]
        jobs = [found.job(found.get_job_number(trial, fold), values) for trial, fold, values in places]
    base = replace(found.base, evaluation=replace(found.base.evaluation, patients="train"))
    sweep = Sweep(found.directory, base, command_line())
    OmegaConf.save(found.config, sweep.directory / "multirun.yaml")
    found.write_identity()
    if options.name == "random":
        for job in jobs:
            if isinstance(job, Refused):
                sweep.refuse(job, job.why)
        run_all(sweep, [job for job in jobs if not isinstance(job, Refused)])
    else:
        run_trials(found, sweep)
    return sweep.finish(report(found, sweep))
