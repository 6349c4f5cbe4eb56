"""Compose the jobs of a sweep.

Hydra needs a tenth of a second for a configuration. Jobs with the same choices of groups differ in single values: these
are set in a copy of one composed configuration. Everything else, and every error message, is left to Hydra.
"""

import pickle
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import compress
from operator import not_
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.core.utils import filter_overrides
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hemexp.config import list_code
from hemexp.config.compose import checked
from hemexp.errors import UserError
from hemexp.sweep.plan.job import SweepJob

# what a sweep has once for all its jobs
_SHARED = (
    "where", "search", "trainer.accelerator", "trainer.devices", "hydra.runtime.choices.hydra/launcher",
    "hydra.runtime.choices.hydra/sweeper", "hydra.sweeper.params", "hydra.sweep.dir",
)  # fmt: skip
_LONGEST = 100  # characters of a value in a message


@dataclass(frozen=True)
class _Composed:
    """A composed configuration.

    Attributes:
        whole: as Hydra composed it, before values are set.
        config: what belongs to the run; its node ``hydra`` holds the mode only.
        hydra: the content of the node ``hydra``.
    """

    whole: DictConfig
    config: DictConfig
    hydra: dict[str, Any]


class JobComposer:
    """Compose the jobs of one sweep and check their whole configurations.

    Args:
        config: configuration of the sweep, from Hydra.
        loader: Hydra's config loader.
    """

    def __init__(self, config: DictConfig, loader: Any) -> None:
        self._config, self._loader = config, loader
        self._once = {key: OmegaConf.select(config, key) for key in _SHARED}
        self._parse = lru_cache(1000)(OverridesParser.create().parse_override)
        self._load_shared = lru_cache(16)(self._load)

    def compose(self, overrides: Sequence[str], number: int, varied: Sequence[str]) -> SweepJob:
        """Compose one job and check it.

        Args:
            overrides: all overrides of the job.
            number: of the job.
            varied: the overrides that differ between jobs.

        Raises:
            UserError: the configuration breaks a rule, or sets what all jobs share; the message begins with the job
                and its overrides.
            HydraException: a key is unknown, or a value has the wrong type.
        """
        varied = [text.removeprefix("++") for text in filter_overrides(list(varied))]  # hemexp adds it to a free key
        directory = Path(self._config.hydra.sweep.dir) / str(number)
        try:
            composed = self._set_values(overrides) or self._load(tuple(overrides))
            cfg = checked(composed.config, "train")
            if getattr(cfg.model, "init_from", None) is not None:
                import_module("hemexp.models.first_weights").read_first_weights(cfg.model)  # only then it needs PyTorch
            _check_experiment(composed.whole.hydra.runtime.choices.get("experiment"), self._loader)
            self._check_shared(composed)
        except UserError as error:
            raise UserError(f"job {number} ({' '.join(varied)}): {error}") from None
        content: Any = OmegaConf.to_container(composed.config, enum_to_str=True)
        del content["hydra"]
        hydra = composed.hydra
        hydra["job"] |= {"id": str(number), "num": number}
        hydra["runtime"]["output_dir"] = str(directory)
        files = {
            "config.yaml": to_yaml(content),
            "hydra.yaml": to_yaml({"hydra": hydra}),
            "overrides.yaml": OmegaConf.to_yaml(hydra["overrides"]["task"]),
        }
        texts = tuple(overrides)
        return SweepJob(number, directory, tuple(varied), cfg, files, all_overrides=texts, code=list_code(cfg))

    def _load(self, overrides: tuple[str, ...]) -> _Composed:
        """Compose a configuration with Hydra."""
        whole = self._loader.load_sweep_config(self._config, list(overrides))
        config = deepcopy(whole)
        with open_dict(config):
            del config["hydra"]
            config["hydra"] = {"mode": whole.hydra.mode}
        hydra: Any = OmegaConf.to_container(whole.hydra, enum_to_str=True)
        return _Composed(whole, config, hydra)

    def _set_values(self, overrides: Sequence[str]) -> _Composed | None:
        """Set the values of a job in a copy of the configuration with its groups; return None where Hydra must."""
        try:
            parsed = [self._parse(text) for text in overrides]
            if not all(map(_is_plain, parsed)):
                return None
            chooses = [self._chooses(override) for override in parsed]
            shared = self._load_shared(tuple(compress(overrides, chooses)))
            config = deepcopy(shared.config)
            for override in compress(parsed, map(not_, chooses)):
                key, force = override.key_or_group, override.is_force_add()
                OmegaConf.update(config, key, override.value(), merge=True, force_add=force)
        except (HydraException, OmegaConfBaseException):
            return None  # Hydra composes it again, for its message
        job, names = shared.hydra["job"], shared.hydra["job"]["config"]["override_dirname"]
        lines = sorted(str(each.input_line) for each in parsed if each.key_or_group not in names["exclude_keys"])
        hydra = shared.hydra | {
            "overrides": shared.hydra["overrides"] | {"task": list(overrides)},
            "job": job | {"override_dirname": names["item_sep"].join(lines).replace("=", names["kv_sep"])},
            "runtime": dict(shared.hydra["runtime"]),
        }
        return _Composed(shared.whole, config, hydra)

    def _chooses(self, override: Override) -> bool:
        """Whether an override chooses a file of a group; else it sets a value."""
        is_group = self._loader.repository.group_exists(override.key_or_group)
        return is_group and not isinstance(override.value(), dict)

    def _check_shared(self, composed: _Composed) -> None:
        """Refuse a job that sets what the whole sweep has once, as a swept experiment can: it would have no effect."""
        for key, one in self._once.items():
            other = OmegaConf.select(composed.whole if key.startswith("hydra.") else composed.config, key)
            if one != other:
                name = key.removeprefix("hydra.runtime.choices.")
                raise UserError(
                    f"{name}={_shorten(other)}: a job cannot set it, because the sweep has {name}={_shorten(one)}; "
                    "give one value for the whole sweep, on the command line"
                )


def _is_plain(override: Override) -> bool:
    """Whether an override is ``KEY=VALUE`` or ``++KEY=VALUE`` for a key of the run or one of its groups."""
    sets_value = override.type in {OverrideType.CHANGE, OverrideType.FORCE_ADD}
    is_single = override.value_type == ValueType.ELEMENT and override.package is None
    return sets_value and is_single and not override.is_hydra_override()


def to_yaml(content: Mapping[str, Any], *path: str) -> str:
    """Return the same text as `OmegaConf.to_yaml`; a part that is equal to an earlier one is not written again.

    Args:
        content: without nodes of OmegaConf.
        path: the keys above, for a part of a configuration.
    """
    lines = []
    for name, value in content.items():
        is_part = isinstance(value, dict) and bool(value)
        text = _write_yaml((*path, name), pickle.dumps({} if is_part else value))
        lines.append(text.replace(" {}\n", "\n") + to_yaml(value, *path, name) if is_part else text)
    return "".join(lines)


@lru_cache(10_000)
def _write_yaml(path: tuple[str, ...], pickled: bytes) -> str:
    """Write one key of a configuration, with the indentation of its path."""
    *above, name = path
    content = {name: pickle.loads(pickled)}
    for key in reversed(above):
        content = {key: content}
    return OmegaConf.to_yaml(content).split("\n", len(above))[-1]


def _check_experiment(name: str | None, loader: Any) -> None:
    """Refuse an experiment that chooses a launcher or a sweeper: Hydra ignores it without a word."""
    found = loader.repository.load_config(f"experiment/{name}") if name else None
    for default in (found and found.defaults_list) or ():
        group = str(getattr(default, "group", "")).lstrip("/")
        if group in {"hydra/launcher", "hydra/sweeper"}:
            raise UserError(
                f"experiment={name}: chooses {group}={default.value}, which has no effect there; give {group}=NAME on "
                "the command line"
            )


def _shorten(value: Any) -> str:
    text = str(OmegaConf.to_container(value)) if OmegaConf.is_config(value) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
