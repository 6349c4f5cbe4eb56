"""An Optuna study of settings and their scores, kept in ``study.log`` in the sweep's directory.

The file is a journal that the workers write to as well, so that nothing is lost whoever is killed.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import TrialState

from hemexp.config import LOWER_IS_BETTER
from hemexp.files.writing import write_json
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import Search, distinct_draws
from hemexp.sweep.plan.space import Interval, Space, Value
from hemexp.sweep.results.leaderboard import DONE

TRIAL = Path(".hydra", "trial.json")  # in a job's folder: which trial it is
_JOURNAL = "study.log"
_TRIES = 10  # that the estimator has for settings that are new

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
            storage=open_storage(found.directory),
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
        number = self.found.get_job_number(len(self.values), self.place)
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
        write_json(job.folder / TRIAL, {"study": self.name, "trial_id": trial._trial_id})

    def tell(self, number: int, status: str, score: float | None) -> None:
        """Record how a job ended; what was told first stays, for an interruption may have one told twice."""
        if status == DONE and score is not None and math.isfinite(score):
            state = TrialState.COMPLETE
        else:
            state, score = TrialState.PRUNED if status == "pruned" else TrialState.FAIL, None
        told = self._study.tell(self._trials[number], score, state=state, skip_if_finished=True)
        self.states[number] = told.state


def open_storage(directory: Path) -> JournalStorage:
    """Return the journal of a sweep."""
    path = str(directory / _JOURNAL)
    # links need rights on Windows that few have
    lock = JournalFileOpenLock(path) if os.name == "nt" else JournalFileSymlinkLock(path)
    return JournalStorage(JournalFileBackend(path, lock))


def mend(directory: Path) -> None:
    """Cut off a last line that is not whole, as a full disk leaves it; Optuna would read nothing that follows it."""
    journal = directory / _JOURNAL
    if journal.is_file():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(journal, whole)


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
