"""Optuna's tree-structured Parzen estimator: settings are drawn where earlier ones scored well.

What is known stands in ``study.log`` in the sweep's directory, a journal that the workers write to as well: they report
the score after every repeat of cross-validation, and ask whether it is worth going on.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import TrialState

from hemexp.config import LOWER_IS_BETTER
from hemexp.errors import Pruned
from hemexp.evaluation.cross_validation import Watch
from hemexp.files import write_json
from hemexp.sweep.workload import epochs_of
from hemexp.sweep.folders import result_of, settle
from hemexp.sweep.job import SweepJob
from hemexp.sweep.leaderboard import DONE
from hemexp.sweep.search import Refused, Search, distinct_draws
from hemexp.sweep.space import Interval, Space, Value
from hemexp.sweep.sweep import Sweep

_JOURNAL = "study.log"
_TRIAL = Path(".hydra", "trial.json")
_TRIES = 10  # that the estimator has for settings that are new
_WARM_UP = 5  # trials that must be complete before any is pruned, and the part of the repeats that each may do: 1/5

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """The search of one fold of the outer loop, or the whole search where there is no such loop.

    A job may have several trials, each of the same settings: one that was interrupted or failed is tried again. The
    last counts.
    """

    def __init__(self, found: Search, place: int) -> None:
        options, fold = found.base.search, found.folds[place]
        self.name = "search" if fold is None else f"fold {fold}"
        self.found, self.place = found, place
        self._study = optuna.create_study(
            storage=_storage(found.directory),
            study_name=self.name,
            direction="minimize" if options.score in LOWER_IS_BETTER else "maximize",
            load_if_exists=True,
        )
        self._distributions = _distributions(found.space)
        self._trials: dict[int, int] = {}  # the number of each job's last trial
        self.values: dict[int, dict[str, Value]] = {}  # the settings of each job
        self.states: dict[int, TrialState] = {}
        self._take_up()

    def _take_up(self) -> None:
        """Read what an earlier process left; what it had begun counts as failed."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING)):
            waiting = self._study.ask() if trial.state == TrialState.WAITING else None
            self._study.tell(trial.number if waiting is None else waiting.number, state=TrialState.FAIL)
        for trial in self._study.get_trials(deepcopy=False):
            if "job" in trial.user_attrs:
                number = int(trial.user_attrs["job"])
                self._trials[number], self.values[number] = trial.number, dict(trial.params)
                self.states[number] = trial.state

    def ask(self) -> int | None:
        """Choose settings that no job has had; return the number of the new job, or None where all have been tried."""
        number = self.found.number_of(len(self.values), self.place)
        seed, space = self.found.base.search.seed, self.found.space
        seen = {space.overrides(values) for values in self.values.values()}
        if len(seen) >= space.size:
            return None
        for attempt in range(_TRIES):
            state = np.random.SeedSequence([seed, number, attempt]).generate_state(1)
            # a new seed for every job: what is drawn does not depend on how often the search was interrupted
            self._study.sampler = optuna.samplers.TPESampler(seed=int(state[0]))
            trial = self._study.ask(self._distributions)
            if space.overrides(trial.params) not in seen:
                trial.set_user_attr("job", number)
                self._adopt(number, trial)
                return number
            self._study.tell(trial, state=TrialState.FAIL)
        for values in distinct_draws(space, seed):
            if space.overrides(values) not in seen:
                self.try_again(number, values)
                return number
        return None

    def try_again(self, number: int, values: Mapping[str, Value]) -> None:
        """Begin a trial of known settings."""
        self._study.enqueue_trial(dict(values), user_attrs={"job": number})
        self._adopt(number, self._study.ask(self._distributions))

    def _adopt(self, number: int, trial: optuna.Trial) -> None:
        self._trials[number], self.values[number] = trial.number, dict(trial.params)
        self.states[number] = TrialState.RUNNING

    def leave_note(self, job: SweepJob) -> None:
        """Tell the job's process which trial it is."""
        trial = self._study.get_trials(deepcopy=False)[self._trials[job.number]]
        write_json(job.folder / _TRIAL, {"study": self.name, "trial_id": trial._trial_id})

    def tell(self, number: int, status: str, score: float | None) -> None:
        """Record how a job ended."""
        if status == DONE and score is not None and math.isfinite(score):
            state = TrialState.COMPLETE
        else:
            state, score = TrialState.PRUNED if status == "pruned" else TrialState.FAIL, None
        self._study.tell(self._trials[number], score, state=state)
        self.states[number] = state


def run_trials(found: Search, sweep: Sweep) -> None:
    """Run a search: whenever a worker is free it is given the settings that then look best.

    A job that was lost or interrupted in an earlier start is run again, one that is done or was pruned is not.
    """
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
        sweep.display.add(number, epochs_of(found.base))
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
                open_jobs.append(job)
                sweep.start([job])
            sweep.display.num_jobs = max(total, len(sweep.jobs))
            if not sweep.num_running:
                break
            for event in sweep.backend.wait(1.0):
                sweep.handle(event)
            open_jobs = _tell_ended(open_jobs, studies, sweep)
    _tell_ended(open_jobs, studies, sweep)


def _has_ended(job: SweepJob) -> bool:
    return (job.folder / "DONE").is_file() or result_of(job.folder).get("status") == "pruned"


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
    score = result_of(job.folder).get("metrics", {}).get(f"cv/{job.cfg.search.score}") or {}
    study.tell(job.number, sweep.fates[job.number].status, score.get("value"))


def watch_of(job: SweepJob) -> Watch | None:
    """Return what reports a job's score to the study and ends the job where the earlier ones' median is better.

    Args:
        job: of this process; None is returned where it is no trial.
    """
    try:
        note: dict[str, Any] = json.loads((job.folder / _TRIAL).read_text(encoding="utf-8"))
    except OSError:
        return None
    num_repeats, measure = job.cfg.evaluation.num_repeats, job.cfg.search.score
    study = optuna.load_study(
        study_name=note["study"],
        storage=_storage(job.folder.parent),
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


def _storage(directory: Path) -> JournalStorage:
    path = str(directory / _JOURNAL)
    # links need rights on Windows that few have
    lock = JournalFileOpenLock(path) if os.name == "nt" else JournalFileSymlinkLock(path)
    return JournalStorage(JournalFileBackend(path, lock))


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    for key, each in space.settings.items():
        if not isinstance(each, Interval):
            found[key] = CategoricalDistribution(each.values)
        elif each.whole:
            found[key] = IntDistribution(int(each.low), int(each.high), log=each.log)
        else:
            found[key] = FloatDistribution(each.low, each.high, log=each.log)
    return found
