"""The place where jobs of a sweep run, the search for settings, and the loggers."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Optional

from hemexp.config.section import REQUIRED, Section, join_or, key
from hemexp.errors import UserError
from hemexp.metrics.table import RANKING

_SILENCE = "time without progress after which a job is stopped; null: never"


@dataclass
class WhereConfig(Section):
    """The place where jobs run, and the time limits of a job."""

    PREFIX: ClassVar[str] = "where"
    name: str = key(REQUIRED, "name of the place; it is set by where=NAME")
    job_timeout: Optional[float] = key(
        None, "longest run of a job, without waiting; null: no limit", above=0, unit="seconds"
    )
    silence_timeout: Optional[float] = key(1800.0, _SILENCE, above=0, unit="seconds")


@dataclass
class LocalConfig(WhereConfig):
    """Worker processes on the CPU cores or GPUs of this machine."""

    NAMES: ClassVar[tuple[str, ...]] = ("local",)
    num_workers: Optional[int] = key(
        None, "work items at the same time; null: one for each GPU, or else for each core", at_least=1, at_most=1024
    )
    batch: bool = key(True, "train networks of equal shape together; false: train every job separately")


@dataclass
class GPUsConfig(WhereConfig):
    """One worker process for each GPU of this machine."""

    NAMES: ClassVar[tuple[str, ...]] = ("gpus",)
    devices: Any = key(None, "list of GPU numbers or UUIDs, such as [0,2]; null: all GPUs found")
    jobs_per_device: int = key(1, "jobs at the same time on one GPU", at_least=1, at_most=64)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.devices
        listed = isinstance(names, list) and bool(names) and all(type(name) in {int, str} for name in names)
        legal = names is None or (listed and len(set(map(str, names))) == len(names))
        rule = "must be a list of different GPUs (numbers or UUIDs, such as [0,2]), or null for all GPUs found"
        self.require(legal, "devices", rule)


@dataclass
class ClusterConfig(WhereConfig):
    """A cluster, where jobs may wait before they start."""

    silence_timeout: Optional[float] = key(None, _SILENCE, above=0, unit="seconds")


@dataclass
class SlurmConfig(ClusterConfig):
    """A Slurm cluster. Each job is one task of a job array."""

    NAMES: ClassVar[tuple[str, ...]] = ("slurm",)
    partition: Optional[str] = key(None, "Slurm partition; null: the default of the cluster")
    account: Optional[str] = key(None, "Slurm account; null: the default of the cluster")
    time_minutes: int = key(240, "time after which Slurm stops a job", at_least=1, at_most=10**6, unit="minutes")
    memory_gb: float = key(8.0, "memory of a job", above=0, at_most=10**5, unit="GB")
    cpus_per_job: int = key(1, "CPU cores of a job", above=0, at_most=10**4)
    gpus_per_job: Optional[int] = key(
        None, "GPUs of a job; null: 1 if the accelerator is a GPU, else 0", choices=(0, 1)
    )
    max_parallel: int = key(64, "jobs that run at the same time", above=0, at_most=10**5)
    options: dict[str, Any] = key({}, "more options of sbatch, such as {qos: long, constraint: a100}")


@dataclass
class RayConfig(ClusterConfig):
    """A Ray cluster, or Ray on this machine."""

    NAMES: ClassVar[tuple[str, ...]] = ("ray",)
    address: Optional[str] = key(None, "the cluster, such as auto or ray://HOST:10001; null: start Ray here")
    cpus_per_job: float = key(1.0, "CPU cores of a job", above=0, at_most=10**4)
    gpus_per_job: Optional[float] = key(
        None, "GPUs of a job, such as 0.5; null: 1 if the accelerator is a GPU, else 0", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = not self.gpus_per_job or self.gpus_per_job >= 0.001
        self.require(whole, "gpus_per_job", "must be 0, or 0.001 to 1")
        self.require(self.cpus_per_job >= 0.001, "cpus_per_job", "must be at least 0.001")


@dataclass
class SearchConfig(Section):
    """The way in which a sweep finds the settings of its jobs."""

    PREFIX: ClassVar[str] = "search"
    NAMES: ClassVar[tuple[str, ...]] = ("grid", "random", "tpe")
    name: str = key(REQUIRED, "name of the search; it is set by search=NAME")
    score: str = key(
        "auroc", f"cross-validated score that ranks the jobs: {join_or(RANKING)}, or one of metrics= with a direction"
    )
    num_trials: int = key(20, "number of settings that search=random and search=tpe try", at_least=1, at_most=100_000)
    seed: int = key(0, "seed of the random settings", at_least=0, at_most=2**32 - 1)
    prune: bool = key(False, "search=tpe only: stop a job whose score is worse than the median of earlier jobs")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(not self.prune or self.name == "tpe", "prune", "needs search=tpe")


LOGGERS = {  # beside TensorBoard, by key: the module and the package that it needs
    "csv": None,
    "mlflow": ("mlflow", "mlflow-skinny"),
    "wandb": ("wandb", "wandb"),
}


@dataclass
class LoggerConfig(Section):
    """The loggers of a run. TensorBoard is always one of them; ``logger=[csv,mlflow]`` adds two."""

    PREFIX: ClassVar[str] = "logger"
    csv: bool = key(False, "CSVLogger: curves, scores and settings as files in csv/")
    mlflow: bool = key(False, "MLflow: curves, scores, settings, tags, figures")
    wandb: bool = key(False, "Weights & Biases: curves, scores, settings, tags, figures")
    tracking_uri: Optional[str] = key(
        None, "MLflow server, such as http://HOST:5000; null: $MLFLOW_TRACKING_URI, if not set: files in outputs/mlruns"
    )
    experiment_name: str = key("hemexp", "MLflow experiment, or project of Weights & Biases, that holds the runs")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(bool(self.experiment_name), "experiment_name", "must not be empty")
        for name in self.names:
            module, package = LOGGERS[name] or ("csv", "")
            if find_spec(module) is None:
                raise UserError(f'logger={name}: needs the package {package}: pip install "hemexp[{name}]"')

    @property
    def names(self) -> list[str]:
        """The loggers beside TensorBoard."""
        return [name for name in LOGGERS if getattr(self, name)]
