"""A job of a sweep: one run with its number, its directory and its checked configuration."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hemexp.config import TrainConfig, config_hash
from hemexp.config.code import Code


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
        code: digests of the user's source files, as the process that composed the job has them.
        trial: of search=tpe: the name of its Optuna study, and the id of its trial.
        invalid: the rule that the configuration breaks; such a job counts as failed and has no directory.
    """

    number: int
    directory: Path
    overrides: tuple[str, ...]
    cfg: TrainConfig
    hydra_files: dict[str, str]
    invalid: str = ""
    all_overrides: tuple[str, ...] = ()
    code: Code = field(default_factory=dict)
    trial: tuple[str, int] | None = None

    @cached_property
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
