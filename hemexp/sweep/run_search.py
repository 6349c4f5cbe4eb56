"""Run a search: random settings, or settings that TPE proposes, then report the test part."""

from contextlib import closing
from dataclasses import replace
from itertools import islice

from omegaconf import OmegaConf

from hemexp.files.writing import write_text
from hemexp.sweep.controller import Sweep
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import Search, distinct_draws


def run_search(search: Search) -> bool:
    """Run a search to its end; return whether every job was done."""
    from hemexp.sweep.results.nested_cv import report_test_part

    is_random = search.base.search.name == "random"
    jobs = _draw_jobs(search) if is_random else []
    if not is_random:
        from hemexp.sweep.study import check_journal, run_trials  # Optuna is an optional package

        check_journal(search.directory)
    base = replace(search.base, evaluation=replace(search.base.evaluation, patients="train"))
    sweep = Sweep(search.directory, base, began=search.began)
    with closing(sweep.backend):  # also after an interruption outside of the jobs
        write_text(sweep.directory / "multirun.yaml", OmegaConf.to_yaml(search.config))
        search.write_identity()
        if is_random:
            sweep.run_all(jobs)
        else:
            run_trials(search, sweep)
        return sweep.finish(*report_test_part(search, sweep.jobs, sweep.statuses, sweep.stopped))


def _draw_jobs(search: Search) -> list[SweepJob]:
    options = search.base.search
    draws = islice(distinct_draws(search.space, options.seed), options.num_trials)
    values_of_jobs = [values for values in draws for _ in search.folds]
    return [search.build_job(number, values) for number, values in enumerate(values_of_jobs)]
