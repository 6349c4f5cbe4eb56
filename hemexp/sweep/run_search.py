"""Run a search: random settings, or settings that TPE proposes, then report the test part."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hemexp.errors import JobFailed
from hemexp.sweep.controller import Sweep
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import InvalidJob, Search, distinct_draws


def search(config: DictConfig, loader: Any, arguments: Sequence[str], params: Mapping[str, Any] | None) -> None:
    """Run the search that ``search=`` names; see `Search` for the arguments.

    Raises:
        UserError: this cannot be searched; nothing was written.
        JobFailed: at least one job did not finish.
    """
    if not run_search(Search(config, loader, arguments, params)):
        raise JobFailed


def run_search(search: Search) -> bool:
    """Run a search to its end; return whether every job was done."""
    from hemexp.sweep.results.nested_cv import report_test_part

    is_random = search.base.search.name == "random"
    jobs = _draw_jobs(search) if is_random else []
    base = replace(search.base, evaluation=replace(search.base.evaluation, patients="train"))
    sweep = Sweep(search.directory, base)
    OmegaConf.save(search.config, sweep.directory / "multirun.yaml")
    search.write_identity()
    if is_random:
        for job in jobs:
            if isinstance(job, InvalidJob):
                sweep.add_invalid(job, job.reason)
        sweep.run_all([job for job in jobs if not isinstance(job, InvalidJob)])
    else:
        from hemexp.sweep.study import run_trials  # Optuna is an optional package

        run_trials(search, sweep)
    return sweep.finish(report_test_part(search, sweep.jobs, sweep.statuses, sweep.stopped))


def _draw_jobs(search: Search) -> list[SweepJob]:
    options = search.base.search
    draws = zip(range(options.num_trials), distinct_draws(search.space, options.seed), strict=False)
    return [
        search.build_job(search.get_job_number(trial, fold_index), values)
        for trial, values in draws
        for fold_index in range(len(search.folds))
    ]
