"""The settings of Hydra that a user may change; the others are refused, because they have no effect or break a run."""

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hemexp.config.compose import label_definitions, list_keys_of_type
from hemexp.config.keys import check_keys
from hemexp.errors import UserError

_MAY_BE_SET = (
    "hydra.sweep.dir", "hydra.mode", "hydra.verbose", "hydra.searchpath", "hydra.help", "hydra.hydra_help",
    "hydra.sweeper", "hydra.launcher", "hydra.job_logging", "hydra.hydra_logging",
    "hydra.job.env_set", "hydra.job.env_copy",
)  # fmt: skip
_FIXED = {  # by key, the value that the program relies on, and what to do instead
    "job.chdir": (False, "paths start at the folder of the caller; go to a folder before you start the command"),
    "output_subdir": (".hydra", "the files of .hydra/ belong to every run"),
    "run.dir": ("${output_dir}", "set the directory of a single run by output_dir=DIR"),
    "sweep.subdir": (
        "${hydra.job.num}", "hydra.sweep.dir=DIR holds each job in a directory that is named by its number"
    ),
    "callbacks.preflight_check._target_": ("hemexp.cli.PreflightCheck", "it checks the configuration"),
}  # fmt: skip
_FOR_SWEEPS = (
    "hydra.sweep.", "hydra.sweeper.", "hydra.launcher.", "hydra/sweeper=", "hydra/launcher=", "where=", "where.",
    "search.",
)  # fmt: skip
_FOR_A_SEARCH = ("search.num_trials=", "search.seed=")


def check_hydra(config: DictConfig) -> None:
    """Refuse settings of Hydra that have no effect, or that change what a command relies on.

    Args:
        config: composed, with its node ``hydra``.

    Raises:
        UserError: names the setting and the rule.
    """
    hydra = config.hydra
    for part in ("job", "run", "sweep", "sweeper", "launcher"):
        check_keys(hydra[part], f"hydra.{part}.")
    for text in hydra.overrides.hydra:
        name = text.lstrip("+~").partition("=")[0].replace("/", ".").partition("@")[0]
        if name in {f"hydra.{key}" for key in _FIXED}:
            continue  # refused below, if the value differs
        if not any(name == known or name.startswith(f"{known}.") for known in _MAY_BE_SET):
            raise UserError(f"{text}: cannot be set; rule: of Hydra's settings only {', '.join(_MAY_BE_SET)}")
    raw: Any = OmegaConf.to_container(hydra, resolve=False)
    for key, (value, advice) in _FIXED.items():
        given: Any = raw
        for part in key.split("."):
            given = given.get(part) if isinstance(given, dict) else None
        if given != value and not (key == "job.chdir" and given is None):
            shown = str(given).lower() if isinstance(given, bool) or given is None else given
            raise UserError(f"hydra.{key}={'null' if given is None else shown}: cannot be changed: {advice}")
    if not str(hydra.sweep.dir or "").strip():
        raise UserError("hydra.sweep.dir=: must not be empty; give hydra.sweep.dir=DIR, or leave the key out")
    _check_switches(hydra.overrides.task)
    _check_label_name(config)
    typed = [text.lstrip("+~") for text in (*hydra.overrides.task, *hydra.overrides.hydra)]
    if hydra.mode == RunMode.MULTIRUN:
        _check_sweep(config, typed)
    else:
        trains_elsewhere = OmegaConf.select(config, "where.name", default="local") != "local"
        used = ("where=", "where.") if trains_elsewhere else ("where=local",)
        only = next((text for text in typed if text.startswith(_FOR_SWEEPS) and not text.startswith(used)), None)
        if only is not None:
            raise UserError(f"{only}: has no effect on a single run; add -m for a sweep, or remove it")


def _check_switches(overrides: Iterable[str]) -> None:
    """Refuse a number for a key that is true or false; OmegaConf would read every number but 0 as true."""
    switches = list_keys_of_type(bool)
    for text in overrides:
        name, _, value = text.lstrip("+").partition("=")
        if name in switches and any(
            re.fullmatch(r"\s*[+-]?[\d_]{2,}|[+-]?[2-9]|-1", part.strip("\"'")) for part in value.split(",")
        ):
            raise UserError(f"{text}: must be true or false")


def _check_label_name(config: DictConfig) -> None:
    """Refuse the name of one definition for another one: ``label.name=`` changes the name only."""
    definitions = label_definitions()
    for text in config.hydra.overrides.task:
        name, _, value = text.lstrip("+").partition("=")
        for part in value.split(",") if name == "label.name" else ():
            definition = definitions.get(part.strip(" \"'"))
            is_same = definition is not None and asdict(definition) == OmegaConf.to_container(config.label)
            if definition is not None and not is_same:
                raise UserError(f"{text}: changes the name only; give label={value} for this definition of the outcome")


def _check_sweep(config: DictConfig, typed: list[str]) -> None:
    """Refuse what a sweep would ignore."""
    for text in typed:
        if text.startswith("output_dir="):
            raise UserError(f"{text}: is for a single run; the directory of a sweep is hydra.sweep.dir=DIR")
        if text.startswith(_FOR_A_SEARCH) and config.search.name == "grid":
            raise UserError(f"{text}: has no effect on search=grid; add search=random or search=tpe, or remove it")
