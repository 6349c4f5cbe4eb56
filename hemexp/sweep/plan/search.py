"""The plan of a search: its space, its checks and its jobs.

Scores within the training part choose the settings. The test part is used for the report only.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from hemexp.config import KFoldSplitConfig, TrainConfig, hashed_values, list_code
from hemexp.config.code import describe_edits
from hemexp.config.compose import checked
from hemexp.errors import UserError
from hemexp.files.writing import write_json
from hemexp.sweep.plan.compose import JobComposer
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.space import OUTER_FOLD, Choices, Interval, Space, Value, parse_space

IDENTITY = "search.json"
_TRAINING_PART_ONLY = "evaluation.patients=train"
_MAX_REPEATED_DRAWS = 1000  # draws in a row without a new setting, after which the space counts as exhausted


@dataclass
class _Identity:
    """The content of ``search.json``: see `Search.identity`; and the number of jobs at each report."""

    search: dict[str, str | int]
    space: dict[str, str]
    folds: str
    settings: dict[str, Any]
    code: dict[str, str] = field(default_factory=dict)
    reports: list[int] = field(default_factory=list)


class Search:
    """The space of a search, and the jobs with settings from it.

    Args:
        config: configuration of the sweep, from Hydra.
        loader: Hydra's config loader.
        arguments: overrides from the command line.
        params: ``hydra.sweeper.params`` of an experiment; the command line takes precedence.

    Raises:
        UserError: this cannot be searched; nothing was written.
    """

    def __init__(
        self, config: DictConfig, loader: Any, arguments: Sequence[str], params: Mapping[str, Any] | None
    ) -> None:
        self.began = time.monotonic()
        self.config, self._composer = config, JobComposer(config, loader)
        self.base: TrainConfig = checked(config, "train")
        self.directory = Path(config.hydra.sweep.dir)
        self.space: Space = parse_space(arguments, params or {})
        self._check_options(config)
        # each fold of the outer loop has its separate search
        self.folds: tuple[int | None, ...] = self.space.folds or (None,)
        # Hydra raises for an unknown key or a wrong type; settings that break a rule fail alone, as a trial
        by_hash: dict[str, dict[str, Value]] = {}
        for values in self.space.corners():
            try:
                same = by_hash.setdefault(self._compose(0, values).config_hash, values)
            except UserError:
                continue
            if same is not values:
                self._drop_same(values, same)
        self._check_bounds()
        # the number of finished jobs at each report of the test part
        self.reports: list[int] = self._read_reports()

    def _check_options(self, config: DictConfig) -> None:
        search, evaluation = self.base.search, self.base.evaluation
        if search.name == "grid":
            raise UserError("hydra/sweeper=hemexp: starts a search; give search=random or search=tpe with it")
        launcher = config.hydra.runtime.choices.get("hydra/launcher")
        if launcher != "hemexp":
            raise UserError(f"hydra/launcher={launcher}: is not for search={search.name}; choose where= instead")
        if evaluation.name == "off" or evaluation.num_repeats == 0:
            key = "evaluation=off" if evaluation.name == "off" else "evaluation.num_repeats=0"
            raise UserError(f"{key}: search={search.name} chooses by cross-validation; give evaluation=standard")
        if any(override.replace(" ", "") == "evaluation.patients=labelled" for override in self.space.fixed):
            raise UserError(
                f"evaluation.patients=labelled: search={search.name} must not see the test part, which is kept for "
                "the report; remove this override"
            )
        if self.space.folds:
            split = self.base.split
            if not isinstance(split, KFoldSplitConfig):
                raise UserError(f"{OUTER_FOLD} is swept, but split={split.name} has no folds; give split=kfold")
            too_large = [fold for fold in self.space.folds if fold >= split.num_folds]
            if too_large:
                raise UserError(f"{OUTER_FOLD}={too_large[0]}: must be below split.num_folds={split.num_folds}")
        if search.name == "tpe" and find_spec("optuna") is None:
            raise UserError('search=tpe: needs optuna, which is not installed; pip install "hemexp[search]"')

    def _drop_same(self, values: Mapping[str, Value], same: Mapping[str, Value]) -> None:
        """Drop a value that is the same run as an earlier one, such as ``0.0`` beside ``0``, and print a line."""
        key = next(key for key in values if values[key] != same[key])
        setting, value = self.space.settings[key], values[key]
        left = tuple(text for text in setting.values if text != value) if isinstance(setting, Choices) else ()
        if len(left) < 2:
            raise UserError(f"{key}={setting}: the values are one and the same run; a search needs two or more")
        print(f"{key}={value}: is the same run as {key}={same[key]}; it is tried once", file=sys.stderr)
        self.space = replace(self.space, settings={**self.space.settings, key: Choices(left)})

    def _check_bounds(self) -> None:
        """Refuse an interval with a bound outside the legal range, where the other settings break no rule.

        The first settings hold the lower bound of every interval, so that only the upper bounds are left to check.
        """
        first = self.space.corners()[0]
        if self.build_job(0, first).invalid:
            return
        for key, setting in self.space.settings.items():
            if isinstance(setting, Interval) and not setting.is_integer:
                reason = self.build_job(0, {**first, key: setting.high}).invalid
                if reason:
                    raise UserError(f"{key}={setting}: {reason}")

    def _read_reports(self) -> list[int]:
        """Return the reports of this search so far; refuse a directory that holds another search."""
        path = self.directory / IDENTITY
        try:
            earlier = asdict(TypeAdapter(_Identity).validate_json(path.read_bytes()))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{path}: is not as train.py writes it: {f'{place}: ' if place else ''}{first['msg']}; rule: the space "
                "of the search and the number of its reports; restore the file, or choose a new directory"
            ) from None
        reports: list[int] = earlier.pop("reports")
        identity = json.loads(json.dumps(self.identity))
        if edits := describe_edits(earlier.pop("code"), identity.pop("code")):
            raise UserError(
                f"hydra.sweep.dir={self.directory}: {edits} after this search began, which draws by its earlier "
                "scores; choose a new directory, or undo the edit"
            )
        before, now = _flatten(earlier), _flatten(identity)
        differences = [
            f"{key}={before.get(key, 'default')} there, {now.get(key, 'default')} here"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
        if differences:
            raise UserError(
                f"hydra.sweep.dir={self.directory}: holds another search ({'; '.join(differences)}); "
                "choose a new directory"
            )
        return reports

    @property
    def identity(self) -> dict[str, Any]:
        """The properties that must be equal for a search to be continued."""
        search = self.base.search
        settings = hashed_values(self.base)
        if search.name == "tpe" and self.base.data.root is not None:  # TPE draws by the scores of earlier starts
            from hemexp.cohort.load import load_cohort

            settings["data_hash"] = load_cohort(self.base.data, key_file=self.base.privacy.pseudonymize).data_hash
        return {
            "search": {"name": search.name, "seed": search.seed, "score": search.score},
            "space": {key: str(setting) for key, setting in self.space.settings.items()},
            "folds": ",".join(map(str, self.space.folds)),
            "settings": settings,
            "code": list_code(self.base) if search.name == "tpe" else {},
        }

    def write_identity(self) -> None:
        """Write ``search.json``: the identity of this search and its reports, for the next start."""
        write_json(self.directory / IDENTITY, {**self.identity, "reports": self.reports})

    def build_job(self, number: int, values: Mapping[str, Value]) -> SweepJob:
        """Compose a job; where it breaks a rule, `invalid` holds the message.

        Consecutive numbers go to different outer folds, so that more trials do not change existing numbers.
        """
        try:
            return self._compose(number, values)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            overrides, reason = self._get_overrides(number, values), str(error).splitlines()[0]
            return SweepJob(number, self.directory / str(number), overrides, self.base, {}, reason)

    def _compose(self, number: int, values: Mapping[str, Value]) -> SweepJob:
        varied = self._get_overrides(number, values)
        return self._composer.compose([*self.space.fixed, *varied, _TRAINING_PART_ONLY], number, varied)

    def _get_overrides(self, number: int, values: Mapping[str, Value]) -> tuple[str, ...]:
        fold = self.folds[number % len(self.folds)]
        return (*self.space.overrides(values), *(() if fold is None else (f"{OUTER_FOLD}={fold}",)))


def distinct_draws(space: Space, seed: int) -> Iterator[dict[str, Value]]:
    """Draw different settings at random until all were drawn; the i-th depends on `seed` and i only."""
    seen: set[tuple[str, ...]] = set()
    num_draws, num_repeated = 0, 0
    while len(seen) < space.size and num_repeated < _MAX_REPEATED_DRAWS * (1 + len(seen)):
        values = space.draw(np.random.default_rng([seed, num_draws]))
        num_draws += 1
        num_repeated += 1
        if (key := space.overrides(values)) not in seen:
            num_repeated = 0
            seen.add(key)
            yield values


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Return the leaves of nested dictionaries by their dotted keys."""
    import pandas as pd

    return dict(pd.json_normalize(values).astype(object).iloc[0])
