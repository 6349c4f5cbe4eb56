"""Settings found by a search: scores within the training part choose, the test part reports."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hemexp.config import KFoldSplitConfig, TrainConfig, hashed_values
from hemexp.config.compose import checked
from hemexp.errors import UserError
from hemexp.files.writing import write_json
from hemexp.sweep.plan.job import SweepJob, compose_job
from hemexp.sweep.plan.space import OUTER, Interval, Space, Value, parse_space

IDENTITY = "search.json"
_WITHIN = "evaluation.patients=train"
_FUTILE = 1000  # draws in a row that bring nothing new


@dataclass(frozen=True)
class Refused(SweepJob):
    """A job that breaks a rule: it has failed before it could begin, and has no folder."""

    why: str = ""

    @property
    def key(self) -> str:
        """Nothing: it has no configuration of its own."""
        return ""


class Search:
    """What is searched, and the jobs that come of it.

    Args:
        config: the sweep's own, from Hydra.
        loader: Hydra's config loader.
        arguments: of the command line.
        params: an experiment's ``hydra.sweeper.params``; the command line wins.

    Raises:
        UserError: it cannot be searched so; nothing was written.
    """

    def __init__(
        self, config: DictConfig, loader: Any, arguments: Sequence[str], params: Mapping[str, Any] | None
    ) -> None:
        self.config, self.loader = config, loader
        self.base: TrainConfig = checked(config, "train")
        self.directory = Path(config.hydra.sweep.dir)
        self.space: Space = parse_space(arguments, params or {})
        self._check(config)
        # each fold of the outer loop is searched by itself
        self.folds: tuple[int | None, ...] = self.space.folds or (None,)
        for values in self.space.corners():
            self._try(values)
        self._check_ends()
        # how many jobs were done each time that the test part was reported
        self.reports: list[int] = self._check_earlier()

    def _check(self, config: DictConfig) -> None:
        search, evaluation = self.base.search, self.base.evaluation
        if search.name == "grid":
            raise UserError("hydra/sweeper=hemexp: searches; give search=random or search=tpe with it")
        launcher = config.hydra.runtime.choices.get("hydra/launcher")
        if launcher != "hemexp":
            raise UserError(f"hydra/launcher={launcher}: search={search.name} runs its jobs itself; choose where=")
        if evaluation.name == "off" or evaluation.num_repeats == 0:
            key = "evaluation=off" if evaluation.name == "off" else "evaluation.num_repeats=0"
            raise UserError(f"{key}: search={search.name} chooses by cross-validation; give evaluation=standard")
        if any(each.replace(" ", "") == "evaluation.patients=labelled" for each in self.space.fixed):
            raise UserError(
                f"evaluation.patients=labelled: search={search.name} must not see the test part, which reports; "
                "leave it out"
            )
        if self.space.folds:
            split = self.base.split
            if not isinstance(split, KFoldSplitConfig):
                raise UserError(f"{OUTER} is swept, and split={split.name} has no folds; give split=kfold")
            beyond = [fold for fold in self.space.folds if fold >= split.num_folds]
            if beyond:
                raise UserError(f"{OUTER}={beyond[0]}: must be below split.num_folds={split.num_folds}")
        if search.name == "tpe" and find_spec("optuna") is None:
            raise UserError('search=tpe: needs optuna, which is not installed; pip install "hemexp[search]"')

    def _check_ends(self) -> None:
        """Refuse an interval of numbers that leads beyond what its key may be, where the rest breaks no rule."""
        first = self.space.corners()[0]
        if isinstance(self.job(0, first), Refused):
            return
        for key, setting in self.space.settings.items():
            if isinstance(setting, Interval) and not setting.whole:
                for end in (setting.low, setting.high):
                    if isinstance(job := self.job(0, {**first, key: end}), Refused):
                        raise UserError(f"{key}={setting}: {job.why}")

    def _try(self, values: Mapping[str, Value]) -> None:
        """Compose a corner of the space: a key or a type that is wrong is a mistake, a broken rule may be bad luck."""
        try:
            self._compose(0, self.folds[0], values)
        except UserError:
            return

    def _check_earlier(self) -> list[int]:
        """Refuse a directory that holds another search; return the reports of this one."""
        try:
            earlier = json.loads((self.directory / IDENTITY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        reports: list[int] = earlier.pop("reports", [])
        there, here = _flat(earlier), _flat(self.identity)
        differs = [
            f"{key}={there.get(key, 'default')} there, {here.get(key, 'default')} here"
            for key in sorted(there.keys() | here.keys())
            if there.get(key) != here.get(key)
        ]
        if differs:
            raise UserError(
                f"hydra.sweep.dir={self.directory}: holds another search ({'; '.join(differs)}); choose a new directory"
            )
        return reports

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a search to go on."""
        search = self.base.search
        settings = hashed_values(self.base)
        if search.name == "tpe" and self.base.data.root is not None:  # it draws by the scores of earlier starts
            from hemexp.cohort.load import load_cohort

            settings["data_hash"] = load_cohort(self.base.data).data_hash
        return {
            "search": {"name": search.name, "seed": search.seed, "score": search.score},
            "space": {key: str(each) for key, each in self.space.settings.items()},
            "folds": ",".join(map(str, self.space.folds)),
            "settings": settings,
        }

    def write_identity(self) -> None:
        """Leave what this search is and how often it was reported, for the next one in the same directory."""
        write_json(self.directory / IDENTITY, {**self.identity, "reports": self.reports})

    def get_job_number(self, trial: int, fold: int) -> int:
        """Return the number of a job: the outer folds take turns, so that more trials leave all numbers as they were.

        Args:
            trial: within the fold's own search, from 0.
            fold: its place among the folds of the outer loop, from 0.
        """
        return trial * len(self.folds) + fold

    def job(self, number: int, values: Mapping[str, Value]) -> SweepJob:
        """Compose a job; one that breaks a rule is `Refused`."""
        fold = self.folds[number % len(self.folds)]
        try:
            return self._compose(number, fold, values)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            why = str(error).splitlines()[0]
            own = tuple(self._own(fold, values))
            return Refused(number, self.directory / str(number), own, self.base, {}, why)

    def _compose(self, number: int, fold: int | None, values: Mapping[str, Value]) -> SweepJob:
        own = self._own(fold, values)
        return compose_job(self.config, self.loader, [*self.space.fixed, *own, _WITHIN], number, own)

    def _own(self, fold: int | None, values: Mapping[str, Value]) -> list[str]:
        return [*self.space.overrides(values), *([] if fold is None else [f"{OUTER}={fold}"])]


def distinct_draws(space: Space, seed: int) -> Iterator[dict[str, Value]]:
    """Draw settings at random, each once, until there are no more; which the i-th are depends on seed and i alone."""
    seen: set[tuple[str, ...]] = set()
    draws, futile = 0, 0
    while len(seen) < space.size and futile < _FUTILE * (1 + len(seen)):
        values = space.draw(np.random.default_rng([seed, draws]))
        draws += 1
        futile += 1
        if (key := space.overrides(values)) not in seen:
            futile = 0
            seen.add(key)
            yield values


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dictionaries by their dotted keys."""
    if not isinstance(values, dict):
        return {prefix: json.loads(json.dumps(values))}
    return {
        name: leaf for key, below in values.items() for name, leaf in _flat(below, f"{prefix}.{key}".strip(".")).items()
    }
