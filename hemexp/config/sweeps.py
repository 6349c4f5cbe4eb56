"""Where the jobs of a sweep run, how their settings are found, and who else is told of a run."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Optional

from hemexp.config.rules import rule

SCORES = ("auroc", "auprc", "brier", "log_loss", "accuracy")
LOWER_IS_BETTER = ("brier", "log_loss")


@dataclass
class WhereConfig:
    """Where jobs run, and when one is given up."""

    name: str
    job_timeout: Optional[float] = None
    silence_timeout: Optional[float] = 1800.0

    def __post_init__(self) -> None:
        known = ("local", "gpus", "slurm", "ray")
        rule(self.name in known, "where.name", self.name, f"must be {', '.join(known)}, as where=NAME")
        for key in ("job_timeout", "silence_timeout"):
            value = getattr(self, key)
            rule(value is None or value > 0, f"where.{key}", value, "must be above 0 seconds, or null: never")


@dataclass
class LocalConfig(WhereConfig):
    """This machine: worker processes over its cores or GPUs, networks of equal shape trained together."""

    num_workers: Optional[int] = None
    batch: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        holds = self.num_workers is None or 1 <= self.num_workers <= 1024
        rule(holds, "where.num_workers", self.num_workers, "must be 1 to 1024, or null: as many as there are cores")


@dataclass
class GPUsConfig(WhereConfig):
    """A worker process a GPU of this machine."""

    devices: Any = None
    jobs_per_device: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.devices
        listed = isinstance(given, list) and bool(given) and all(type(each) in {int, str} for each in given)
        rule(
            given is None or (listed and len(set(map(str, given))) == len(given)),
            "where.devices",
            given,
            "must be a list of different GPUs (numbers or UUIDs, as in [0,2]), or null: those found",
        )
        rule(1 <= self.jobs_per_device <= 64, "where.jobs_per_device", self.jobs_per_device, "must be 1 to 64")


@dataclass
class SlurmConfig(WhereConfig):
    """A Slurm cluster: an array task a job."""

    partition: Optional[str] = None
    account: Optional[str] = None
    time_minutes: int = 240
    memory_gb: float = 8.0
    cpus_per_job: int = 1
    gpus_per_job: Optional[int] = None
    max_parallel: int = 64
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("time_minutes", "memory_gb", "cpus_per_job", "max_parallel"):
            rule(getattr(self, key) > 0, f"where.{key}", getattr(self, key), "must be above 0")
        holds = self.gpus_per_job in {None, 0, 1}
        rule(holds, "where.gpus_per_job", self.gpus_per_job, "a run trains on one device: 0, 1, or null: as it trains")


@dataclass
class RayConfig(WhereConfig):
    """A Ray cluster, or Ray on this machine."""

    address: Optional[str] = None
    cpus_per_job: float = 1.0
    gpus_per_job: Optional[float] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        rule(self.cpus_per_job > 0, "where.cpus_per_job", self.cpus_per_job, "must be above 0")
        holds = self.gpus_per_job is None or 0 <= self.gpus_per_job <= 1
        rule(holds, "where.gpus_per_job", self.gpus_per_job, "must be 0 to 1 (a share of one), or null: as it trains")


@dataclass
class SearchConfig:
    """How the settings of a sweep's jobs are found, and the score that ranks them."""

    name: str
    score: str = "auroc"
    num_trials: int = 20
    seed: int = 0
    prune: bool = False

    def __post_init__(self) -> None:
        known = ("grid", "random", "tpe")
        rule(self.name in known, "search.name", self.name, f"must be {', '.join(known)}, as search=NAME")
        rule(self.score in SCORES, "search.score", self.score, f"must be one of {', '.join(SCORES)}")
        rule(1 <= self.num_trials <= 100_000, "search.num_trials", self.num_trials, "must be 1 to 100000")
        rule(0 <= self.seed < 2**32, "search.seed", self.seed, "must be 0 or more, and below 2**32")
        rule(not self.prune or self.name == "tpe", "search.prune", self.prune, "only search=tpe prunes")


@dataclass
class LoggerConfig:
    """Who is told of a run beside TensorBoard."""

    name: str
    tracking_uri: Optional[str] = None
    experiment_name: str = "hemexp"

    def __post_init__(self) -> None:
        known = ("tensorboard", "csv", "mlflow")
        rule(self.name in known, "logger.name", self.name, f"must be {', '.join(known)}, as logger=NAME")
        rule(bool(self.experiment_name), "logger.experiment_name", self.experiment_name, "must not be empty")
        there = self.name != "mlflow" or find_spec("mlflow") is not None
        rule(there, "logger", self.name, 'needs the package mlflow-skinny: pip install "hemexp[mlflow]"')
