"""Search by Optuna's tree-structured Parzen estimator (TPE): draw settings near those that scored well.

The study is a journal in ``study.log`` in the directory of the sweep. Workers write to it too, so that no score is
lost when a process is killed.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hemexp.errors import UserError
from hemexp.sweep.backends.pruning import JOURNAL, open_storage
from hemexp.sweep.controller import Sweep
from hemexp.sweep.plan.cost import count_epochs
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import Search, distinct_draws
from hemexp.sweep.plan.space import Interval, Space, Value
from hemexp.sweep.results.job_result import DONE, get_score, load_result

_NUM_ATTEMPTS = 10  # draws of TPE to find new settings, before settings are drawn at random


class Study:
    """The trials of one fold of the outer loop, or of the whole search where there is no outer loop.

    A job that was interrupted or failed is tried again: it has several trials with the same settings. The last trial
    counts.
    """

    def __init__(self, search: Search, fold_index: int) -> None:
        fold = search.folds[fold_index]
        self.name = "search" if fold is None else f"fold {fold}"
        self.search, self.fold_index = search, fold_index
        self._study = optuna.create_study(
            storage=open_storage(search.directory),
            study_name=self.name,
            direction="maximize" if search.base.ranking_metric.higher_is_better else "minimize",
            load_if_exists=True,
        )
        self._distributions = _build_distributions(search.space)
        # a trial of an earlier start that had not ended counts as failed
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    @property
    def trials(self) -> dict[int, FrozenTrial]:
        """The last trial of each job, by job number."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.user_attrs["job"]: trial for trial in trials if "job" in trial.user_attrs}

    def ask(self) -> int | None:
        """Choose new settings; return the number of the new job, or None where all settings were tried."""
        trials = self.trials
        number = len(trials) * len(self.search.folds) + self.fold_index
        seed, space = self.search.base.search.seed, self.search.space
        seen = {space.overrides(trial.params) for trial in trials.values()}
        if len(seen) >= space.size:
            return None
        for attempt in range(_NUM_ATTEMPTS):
            state = np.random.SeedSequence([seed, number, attempt]).generate_state(1)
            # a new seed for every job: the draw does not depend on the number of interruptions
            self._study.sampler = optuna.samplers.TPESampler(seed=int(state[0]))
            trial = self._study.ask(self._distributions)
            if space.overrides(trial.params) not in seen:
                trial.set_user_attr("job", number)
                return number
            self._study.tell(trial, state=TrialState.FAIL)
        for values in distinct_draws(space, seed):
            if space.overrides(values) not in seen:
                self.start(number, values)
                return number
        return None

    def start(self, number: int, values: Mapping[str, Value]) -> None:
        """Start a trial of given settings."""
        attributes, state = {"job": number}, TrialState.RUNNING
        self._study.add_trial(
            create_trial(params=dict(values), distributions=self._distributions, user_attrs=attributes, state=state)
        )

    def tell(self, number: int, status: str, score: float | None) -> None:
        """Record the end of a job. The first record stays: an interruption may cause a second one."""
        if status == DONE and score is not None and math.isfinite(score):
            state = TrialState.COMPLETE
        else:
            state, score = TrialState.PRUNED if status == "pruned" else TrialState.FAIL, None
        self._study.tell(self.trials[number].number, score, state=state, skip_if_finished=True)


def _build_distributions(space: Space) -> dict[str, BaseDistribution]:
    distributions: dict[str, BaseDistribution] = {}
    for key, setting in space.settings.items():
        if not isinstance(setting, Interval):
            distributions[key] = CategoricalDistribution(setting.values)
        elif setting.is_integer:
            distributions[key] = IntDistribution(int(setting.low), int(setting.high), log=setting.log)
        else:
            distributions[key] = FloatDistribution(setting.low, setting.high, log=setting.log)
    return distributions


def check_journal(directory: Path) -> None:
    """Refuse a journal that was edited or damaged.

    An incomplete last line, as a full disk leaves it, is removed: Optuna would not read the lines after it.

    Raises:
        UserError: a line is not a record of Optuna.
    """
    journal = directory / JOURNAL
    content = journal.read_bytes() if journal.is_file() else b""
    complete = content[: content.rfind(b"\n") + 1]
    if len(complete) < len(content):
        os.truncate(journal, len(complete))
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            _ = json.loads(line)["op_code"]
        except (ValueError, TypeError, KeyError):
            rule = "rule: each line is a record of Optuna; restore the file, or choose a new directory"
            raise UserError(f"{journal}: line {number} is damaged; {rule}") from None


def run_trials(search: Search, sweep: Sweep) -> None:
    """Run a search: when a worker is free, it gets the settings that look best at that time.

    A job that was lost or interrupted in an earlier start runs again; a job that is done or pruned does not.
    """
    studies = [Study(search, fold_index) for fold_index in range(len(search.folds))]
    known = {number: trial for study in studies for number, trial in sorted(study.trials.items())}
    jobs = [search.build_job(number, trial.params) for number, trial in known.items()]
    unfinished = sweep.add_earlier(jobs)
    for job in jobs:
        trial = known[job.number]
        if not job.invalid and trial.state not in {TrialState.COMPLETE, TrialState.PRUNED}:
            studies[job.number % len(studies)].start(job.number, trial.params)
    for number in range(search.base.search.num_trials * len(studies)):
        sweep.display.add_job(number, count_epochs(search.base))
    _record_ended(studies, sweep)
    to_run = chain(unfinished, _choose_jobs(search, studies, sweep))
    with sweep.in_progress():
        while True:
            while sweep.num_running < sweep.backend.capacity and (new := next(to_run, None)):
                study = studies[new.number % len(studies)]
                sweep.start([replace(new, trial=(study.name, study.trials[new.number]._trial_id))])
            if not sweep.num_running:
                break
            sweep.handle_events()
            _record_ended(studies, sweep)
    _record_ended(studies, sweep)


def _choose_jobs(search: Search, studies: list[Study], sweep: Sweep) -> Iterator[SweepJob]:
    """Yield new jobs, each of the study with the fewest jobs, until every study has all its jobs."""
    incomplete = list(studies)
    while incomplete:
        study = min(incomplete, key=lambda study: len(study.trials))
        number = study.ask() if len(study.trials) < search.base.search.num_trials else None
        if number is None:
            incomplete.remove(study)
        elif sweep.add_invalid([job := search.build_job(number, study.trials[number].params)]):
            yield job
        else:
            study.tell(number, "failed", None)


def _record_ended(studies: list[Study], sweep: Sweep) -> None:
    """Record in the studies the jobs that have ended since the last call."""
    ended = {job.number: job for job in sweep.jobs if sweep.statuses[job.number].status != "missing"}
    for study in studies:
        for number, trial in study.trials.items():
            if trial.state == TrialState.RUNNING and number in ended:
                job = ended[number]
                score = get_score(load_result(job.directory), f"cv/{job.cfg.search.score}")
                study.tell(number, sweep.statuses[number].status, score.value)
