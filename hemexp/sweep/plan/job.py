"""A job of a sweep: a run that has its number, its folder and its checked configuration before anything is started."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import filter_overrides
from omegaconf import DictConfig, OmegaConf, open_dict

from hemexp.config import TrainConfig, config_hash
from hemexp.config.compose import checked
from hemexp.errors import UserError
from hemexp.files.writing import write_text


@dataclass(frozen=True)
class SweepJob:
    """What is to be run.

    Attributes:
        number: its place in the sweep, and the name of its folder.
        folder: its run directory.
        overrides: those that make it differ from its siblings, as ``key=value``.
        cfg: checked.
        hydra: the files of its ``.hydra/``, by name.
    """

    number: int
    folder: Path
    overrides: tuple[str, ...]
    cfg: TrainConfig
    hydra: dict[str, str]

    @property
    def key(self) -> str:
        """The hash of its configuration: the same settings have the same, whatever the number."""
        return config_hash(self.cfg)

    @property
    def title(self) -> str:
        """What it is called in print."""
        return f"job {self.number}" + (f" ({' '.join(self.overrides)})" if self.overrides else "")

    def write_hydra(self) -> None:
        """Leave ``.hydra/`` in the folder, as Hydra does for a run alone."""
        for name, text in self.hydra.items():
            write_text(self.folder / ".hydra" / name, text)


def compose_job(
    config: DictConfig, loader: Any, overrides: Sequence[str], number: int, own: Sequence[str] | None = None
) -> SweepJob:
    """Compose one job of a sweep and check all of its configuration.

    Args:
        config: the sweep's own, from Hydra.
        loader: Hydra's config loader.
        overrides: the job's, the sweep's fixed ones among them or not.
        number: of the job.
        own: those of the overrides that its siblings do not share; by default all.

    Raises:
        UserError: a rule is broken; the message begins with the job's overrides.
    """
    own = [each for each in filter_overrides(list(overrides if own is None else own)) if not each.startswith("hydra.")]
    try:
        job = loader.load_sweep_config(config, list(overrides))
        with open_dict(job):
            job.hydra.job.id = job.hydra.job.num = number
            job.hydra.runtime.output_dir = str(Path(config.hydra.sweep.dir) / str(number))
        cfg = checked(job, "train")
    except UserError as error:
        raise UserError(f"job {number} ({' '.join(own)}): {error}") from None
    task = job.copy()
    with open_dict(task):
        hydra = task.pop("hydra")
    files = {
        "config.yaml": OmegaConf.to_yaml(task),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})),
        "overrides.yaml": OmegaConf.to_yaml(job.hydra.overrides.task),
    }
    return SweepJob(number, Path(config.hydra.sweep.dir) / str(number), tuple(own), cfg, files)
