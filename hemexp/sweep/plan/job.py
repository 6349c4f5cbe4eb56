"""A job of a sweep: one run with its number, its directory and its checked configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, OmegaConf, open_dict

from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import checked
from hemexp.errors import UserError

# what a sweep has once for all its jobs
_SHARED = (
    "where", "search", "trainer.accelerator", "trainer.devices", "hydra.runtime.choices.hydra/launcher",
    "hydra.runtime.choices.hydra/sweeper", "hydra.sweeper.params", "hydra.sweep.dir",
)  # fmt: skip
_LONGEST = 100  # characters of a value in a message


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep.

    Attributes:
        number: position in the sweep, and the name of the directory.
        directory: the run directory.
        overrides: the overrides that differ between jobs, as ``key=value``.
        cfg: the checked configuration.
        hydra_files: the content of each file of ``.hydra/``, by name.
        all_overrides: the overrides of the job, as Hydra reads them.
        invalid: the rule that the configuration breaks; such a job counts as failed and has no directory.
    """

    number: int
    directory: Path
    overrides: tuple[str, ...]
    cfg: TrainConfig
    hydra_files: dict[str, str]
    invalid: str = ""
    all_overrides: tuple[str, ...] = ()

    @property
    def config_hash(self) -> str:
        """The hash of the configuration, which does not depend on the job number; empty for an invalid job."""
        return "" if self.invalid else config_hash(self.cfg)

    @property
    def settings(self) -> dict[str, str]:
        """The value of each overridden key, as text."""
        return dict(override.lstrip("+").split("=", 1) for override in self.overrides if "=" in override)

    @property
    def title(self) -> str:
        """The job number and its overrides, for messages."""
        return f"job {self.number}" + (f" ({' '.join(self.overrides)})" if self.overrides else "")


def compose_job(
    config: DictConfig, loader: Any, overrides: Sequence[str], number: int, varied: Sequence[str]
) -> SweepJob:
    """Compose one job of a sweep and check its whole configuration.

    Args:
        config: configuration of the sweep, from Hydra.
        loader: Hydra's config loader.
        overrides: all overrides of the job.
        number: of the job.
        varied: the overrides that differ between jobs.

    Raises:
        UserError: the configuration breaks a rule, or sets what all jobs share; the message begins with the job and
            its overrides.
    """
    varied = filter_overrides(list(varied))
    directory = Path(config.hydra.sweep.dir) / str(number)
    try:
        composed = loader.load_sweep_config(config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
            composed.hydra.runtime.output_dir = str(directory)
        cfg = checked(composed, "train")
        _check_experiment(composed.hydra.runtime.choices.get("experiment"), loader)
        _check_shared(config, composed)
    except UserError as error:
        raise UserError(f"job {number} ({' '.join(varied)}): {error}") from None
    keys = [key for key in composed if key != "hydra"]
    files = {
        "config.yaml": OmegaConf.to_yaml(OmegaConf.masked_copy(composed, keys)),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.masked_copy(composed, "hydra")),
        "overrides.yaml": OmegaConf.to_yaml(composed.hydra.overrides.task),
    }
    return SweepJob(number, directory, tuple(varied), cfg, files, all_overrides=tuple(overrides))


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


def _check_shared(config: DictConfig, composed: DictConfig) -> None:
    """Refuse a job that sets what the whole sweep has once, as a swept experiment can: the sweep would ignore it."""
    for key in _SHARED:
        one, other = (OmegaConf.select(node, key) for node in (config, composed))
        if one != other:
            name = key.removeprefix("hydra.runtime.choices.")
            raise UserError(
                f"{name}={_shorten(other)}: a job cannot set it, because the sweep has {name}={_shorten(one)}; "
                "give one value for the whole sweep, on the command line"
            )


def _shorten(value: Any) -> str:
    text = str(OmegaConf.to_container(value)) if OmegaConf.is_config(value) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
